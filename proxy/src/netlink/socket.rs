use super::{Message, NLMSG_DONE, NLMSG_ERROR, messages, sockopt};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A blocking `NETLINK_NETFILTER` socket in the network namespace of the thread that opened it.
///
/// Netfilter answers inside the `sendmsg` call, so nothing here waits for anything but the kernel's own work.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    send_buffer: usize,
}

/// What went wrong with the socket itself; refusals by the kernel are [`super::Failure`]s.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "open a netfilter netlink socket: {0}; kube-proxy needs CAP_NET_ADMIN and a kernel with nf_tables"
    )]
    Open(#[source] Errno),
    #[error("send {bytes} bytes to the kernel's netfilter: {source}")]
    Send { bytes: usize, source: Errno },
    #[error("read the answer of the kernel's netfilter: {0}")]
    Receive(#[source] Errno),
    #[error("the kernel's netfilter answered with an error: {0}")]
    Refused(#[source] Errno),
    #[error("the kernel changed the data while it was read out, {0} times in a row")]
    Interrupted(u32),
}

/// A netlink datagram never exceeds what the kernel can put in one receive: dumps use at most 32 KiB.
const RECEIVE_BUFFER: usize = 64 * 1024;
const NLM_F_DUMP_INTR: u16 = 0x10;
const DUMP_ATTEMPTS: u32 = 5;

impl Socket {
    /// # Errors
    /// When the kernel has no netfilter netlink or the process may not use it.
    pub fn open() -> Result<Self, SocketError> {
        let netfilter = net::netlink::NETFILTER;
        let fd = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netfilter),
        )
        .map_err(SocketError::Open)?;
        // Only wording is lost on a kernel without it.
        if let Err(error) = sockopt::want_extended_errors(fd.as_fd()) {
            tracing::debug!(%error, "netlink extended acknowledgements are not available");
        }
        Ok(Self { fd, send_buffer: 0 })
    }

    /// Sends one datagram and hands every answer that is already there to `each`.
    ///
    /// # Errors
    /// When it cannot be sent (`EPERM` without CAP_NET_ADMIN) or the answers cannot be read.
    pub fn exchange(
        &mut self,
        datagram: &[u8],
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), SocketError> {
        self.send(datagram)?;
        let mut buf = vec![0u8; RECEIVE_BUFFER];
        loop {
            match self.receive(&mut buf, RecvFlags::DONTWAIT) {
                Ok(len) => messages(&buf[..len]).for_each(&mut each),
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(SocketError::Receive(errno)),
            }
        }
    }

    /// Sends a dump request and hands every message of the dump to `each`. A dump that the kernel marks as
    /// interrupted by a change is started again: `restart` must forget what `each` saw.
    ///
    /// # Errors
    /// When the kernel refuses the request or the table changes faster than it can be read.
    pub fn dump<S>(
        &mut self,
        request: &[u8],
        mut start: impl FnMut() -> S,
        mut each: impl FnMut(&mut S, Message<'_>),
    ) -> Result<S, SocketError> {
        let mut buf = vec![0u8; RECEIVE_BUFFER];
        'attempts: for _ in 0..DUMP_ATTEMPTS {
            let mut state = start();
            let mut interrupted = false;
            self.send(request)?;
            loop {
                let len = match self.receive(&mut buf, RecvFlags::empty()) {
                    Ok(len) => len,
                    Err(Errno::INTR) => continue 'attempts,
                    Err(errno) => return Err(SocketError::Receive(errno)),
                };
                for message in messages(&buf[..len]) {
                    interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                    match message.kind {
                        NLMSG_DONE if interrupted => continue 'attempts,
                        NLMSG_DONE => return Ok(state),
                        NLMSG_ERROR => match message.failure().map(|f| f.errno) {
                            Some(0) | None => return Ok(state),
                            Some(errno) if errno == Errno::INTR.raw_os_error() => continue 'attempts,
                            Some(errno) => return Err(SocketError::Refused(Errno::from_raw_os_error(errno))),
                        },
                        _ => each(&mut state, message),
                    }
                }
            }
        }
        Err(SocketError::Interrupted(DUMP_ATTEMPTS))
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), SocketError> {
        // netlink refuses a datagram that is larger than the send buffer; a batch must be one datagram.
        let needed = datagram.len() + 4096;
        if needed > 128 * 1024 && needed > self.send_buffer {
            let size = needed.next_power_of_two();
            if net::sockopt::set_socket_send_buffer_size_force(&self.fd, size).is_ok()
                || net::sockopt::set_socket_send_buffer_size(&self.fd, size).is_ok()
            {
                self.send_buffer = size;
            }
        }
        loop {
            match net::send(&self.fd, datagram, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(source) => {
                    return Err(SocketError::Send {
                        bytes: datagram.len(),
                        source,
                    });
                }
            }
        }
    }

    fn receive(&self, buf: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        net::recv(&self.fd, buf, flags).map(|(len, _)| len)
    }
}
