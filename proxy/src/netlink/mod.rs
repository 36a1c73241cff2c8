//! The wire format of netfilter netlink, shared by [`crate::nft`] and [`crate::conntrack`].
//!
//! ```text
//! typed values --Writer--> bytes --Socket--> kernel --Socket--> bytes --messages()/attrs()--> typed values
//! ```
//!
//! [`Writer`] and the readers are pure; only [`Socket`] touches the kernel. Integers inside attributes are big
//! endian unless said otherwise, headers are host endian, everything is padded to four bytes
//! (`Documentation/userspace-api/netlink/intro.rst` in the kernel's tree).

mod reader;
mod socket;
mod sockopt;
mod writer;

pub use reader::{Attr, Attrs, Failure, Message, Messages, attrs, messages};
pub use socket::{Socket, SocketError};
pub use writer::{Mark, Writer};

/// `NETLINK_NETFILTER` subsystem numbers, the high byte of a message type.
pub const SUBSYS_CONNTRACK: u16 = 1;
pub const SUBSYS_NFTABLES: u16 = 10;

/// Message types below the subsystems.
pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;
pub const BATCH_BEGIN: u16 = 16;
pub const BATCH_END: u16 = 17;

/// Message flags (`linux/netlink.h`).
pub const NLM_F_REQUEST: u16 = 0x01;
pub const NLM_F_MULTI: u16 = 0x02;
pub const NLM_F_ACK: u16 = 0x04;
pub const NLM_F_CAPPED: u16 = 0x100;
pub const NLM_F_ACK_TLVS: u16 = 0x200;
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_CREATE: u16 = 0x400;
pub const NLM_F_APPEND: u16 = 0x800;

/// Address families as netfilter counts them (`NFPROTO_*`, which are `AF_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum NfProto {
    Unspec = 0,
    Ipv4 = 2,
    Ipv6 = 10,
}

/// `NLA_F_NESTED`.
pub(crate) const NLA_F_NESTED: u16 = 0x8000;
pub(crate) const NLA_TYPE_MASK: u16 = 0x3fff;
/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
pub(crate) const NLMSG_HEADER: usize = 16;
pub(crate) const NFGEN_HEADER: usize = 4;

pub(crate) const fn align(len: usize) -> usize {
    (len + 3) & !3
}
