use crate::netlink::{Attr, Message, attrs};
use std::net::{IpAddr, SocketAddr};

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A tracked connection: what its first packet was addressed to, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    pub protocol: u8,
    /// Destination of the original direction: a Service, if it is one of ours.
    pub to: SocketAddr,
    /// Source of the reply direction: the endpoint.
    pub from: SocketAddr,
    /// The attributes that identify the flow to the kernel, as it sent them.
    pub identity: Vec<(u16, &'a [u8])>,
}

impl<'a> Flow<'a> {
    /// Reads an `IPCTNL_MSG_CT_NEW` message; `None` for flows without ports.
    pub fn parse(message: &Message<'a>) -> Option<Self> {
        let mut identity = Vec::with_capacity(3);
        let (mut original, mut reply) = (None, None);
        for attr in attrs(message.payload()) {
            match attr.kind {
                CTA_TUPLE_ORIG => {
                    original = Tuple::parse(&attr);
                    identity.push((attr.kind, attr.value));
                }
                CTA_TUPLE_REPLY => reply = Tuple::parse(&attr),
                CTA_ID | CTA_ZONE => identity.push((attr.kind, attr.value)),
                _ => {}
            }
        }
        let (original, reply) = (original?, reply?);
        Some(Self {
            protocol: original.protocol,
            to: original.dst,
            from: reply.src,
            identity,
        })
    }
}

struct Tuple {
    protocol: u8,
    src: SocketAddr,
    dst: SocketAddr,
}

impl Tuple {
    fn parse(attr: &Attr<'_>) -> Option<Self> {
        let ip = attr.nested().find(CTA_TUPLE_IP)?;
        let proto = attr.nested().find(CTA_TUPLE_PROTO)?;
        // Addresses have kinds 1 and 2 in IPv4, 3 and 4 in IPv6: source, then destination.
        let addr = |v4, v6| {
            let octets = |kind| ip.nested().find(kind).map(|a| a.value);
            let v4 = octets(v4)
                .and_then(|o| <[u8; 4]>::try_from(o).ok())
                .map(IpAddr::from);
            v4.or_else(|| {
                octets(v6)
                    .and_then(|o| <[u8; 16]>::try_from(o).ok())
                    .map(IpAddr::from)
            })
        };
        let port = |kind| proto.nested().find(kind).and_then(|a| a.u16());
        Some(Self {
            protocol: proto.nested().find(CTA_PROTO_NUM)?.u8()?,
            src: SocketAddr::new(addr(1, 3)?, port(CTA_PROTO_SRC_PORT)?),
            dst: SocketAddr::new(addr(2, 4)?, port(CTA_PROTO_DST_PORT)?),
        })
    }
}
