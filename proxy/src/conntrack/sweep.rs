use super::flow::Flow;
use super::stale::Stale;
use crate::model::{Family, Protocol};
use crate::netlink::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, SUBSYS_CONNTRACK, Socket, SocketError, Writer};
use rustix::io::Errno;

const CT_GET: u16 = 1;
const CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_FILTER: u16 = 25;
/// Deletions in one datagram.
const CHUNK: usize = 64;

/// Finds and deletes stale flows in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct Sweeper {
    socket: Socket,
}

/// Flows could not be listed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("list tracked {family} connections: {source}")]
    List { family: Family, source: SocketError },
    #[error("delete tracked {family} connections: {source}")]
    Delete { family: Family, source: SocketError },
    #[error("delete a tracked {family} connection: {errno}")]
    Refused { family: Family, errno: Errno },
}

impl Sweeper {
    /// # Errors
    /// When the kernel has no netfilter netlink or the process may not use it.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self {
            socket: Socket::open()?,
        })
    }

    /// Deletes the family's flows that `stale` contains, and says how many there were.
    ///
    /// # Errors
    /// When the kernel refuses; flows that were deleted before that stay deleted.
    pub fn sweep(&mut self, family: Family, stale: &Stale) -> Result<usize, SweepError> {
        let request = dump_request(family);
        let doomed = self
            .socket
            .dump(&request, Vec::new, |doomed, message| {
                if let Some(flow) = Flow::parse(&message).filter(|flow| stale.contains(flow)) {
                    doomed.push(delete_request(family, &flow, doomed.len() as u32 + 1));
                }
            })
            .map_err(|source| SweepError::List { family, source })?;
        let mut refused = None;
        for chunk in doomed.chunks(CHUNK) {
            let answer = self.socket.exchange(&chunk.concat(), |message| {
                // A flow that ended by itself in the meantime is as good.
                let errno = message.failure().map_or(0, |f| f.errno);
                if errno != 0 && errno != Errno::NOENT.raw_os_error() {
                    refused = Some(Errno::from_raw_os_error(errno));
                }
            });
            answer.map_err(|source| SweepError::Delete { family, source })?;
        }
        match refused {
            None => Ok(doomed.len()),
            Some(errno) => Err(SweepError::Refused { family, errno }),
        }
    }
}

/// Asks for all UDP flows. Kernels before 5.8 do not know the filter and send all flows, which is only slower.
fn dump_request(family: Family) -> Vec<u8> {
    const FILTER_ORIG_FLAGS: u16 = 1;
    const FILTER_REPLY_FLAGS: u16 = 2;
    const BY_PROTOCOL: u32 = 1 << 3;
    let mut w = Writer::new();
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mark = w.open_message(SUBSYS_CONNTRACK << 8 | CT_GET, flags, 1, family.nfproto(), 0);
    w.nest(CTA_TUPLE_ORIG, |w| {
        w.nest(2, |w| w.u8(1, Protocol::Udp.number()));
    });
    w.nest(CTA_FILTER, |w| {
        w.bytes(FILTER_ORIG_FLAGS, &BY_PROTOCOL.to_ne_bytes());
        w.bytes(FILTER_REPLY_FLAGS, &0u32.to_ne_bytes());
    });
    w.close_message(mark);
    w.into_bytes()
}

fn delete_request(family: Family, flow: &Flow<'_>, seq: u32) -> Vec<u8> {
    let mut w = Writer::new();
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    let mark = w.open_message(SUBSYS_CONNTRACK << 8 | CT_DELETE, flags, seq, family.nfproto(), 0);
    for (kind, value) in &flow.identity {
        if *kind == CTA_TUPLE_ORIG {
            w.nest(*kind, |w| w.raw(value));
        } else {
            w.bytes(*kind, value);
        }
    }
    w.close_message(mark);
    w.into_bytes()
}
