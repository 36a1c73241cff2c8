//! nf_tables expressions: the instructions of a rule, with the numbers of `linux/netfilter/nf_tables.h`.

use super::verdict::Verdict;
use crate::netlink::Writer;
use std::sync::Arc;

/// A 32-bit register, 0 to 15. Wider values span consecutive ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    /// nft names a register by its 128-bit alias where one starts there, and so do we: `nft list` reads both.
    fn number(self) -> u32 {
        let n = u32::from(self.0);
        if n % 4 == 0 { 1 + n / 4 } else { 8 + n }
    }
}

/// What a payload offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    Mark = 3,
    IifName = 6,
    L4Proto = 16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    State = 0,
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmpOp {
    Eq = 0,
    Neq = 1,
}

/// Which address a route lookup asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FibOf {
    Saddr = 1,
    Daddr = 2,
}

/// One expression. Byte strings are as the kernel holds them: addresses and ports in network order, marks,
/// connection states and random numbers in host order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Payload {
        base: Base,
        offset: u32,
        len: u32,
        to: Reg,
    },
    MetaLoad {
        key: MetaKey,
        to: Reg,
    },
    MetaSet {
        key: MetaKey,
        from: Reg,
    },
    CtLoad {
        key: CtKey,
        to: Reg,
    },
    Cmp {
        op: CmpOp,
        from: Reg,
        data: Vec<u8>,
    },
    /// `reg = (reg & mask) ^ xor`.
    Bitwise {
        reg: Reg,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    /// Continues only when the key is in the set; with `to`, loads the mapped value.
    Lookup {
        set: Arc<str>,
        from: Reg,
        to: Option<Reg>,
    },
    /// Continues only when the key is in the map, with the mapped verdict.
    LookupVerdict {
        set: Arc<str>,
        from: Reg,
    },
    /// Adds the key to a dynamic set or refreshes its timeout.
    Update {
        set: Arc<str>,
        from: Reg,
    },
    Immediate {
        to: Reg,
        data: Vec<u8>,
    },
    Verdict(Verdict),
    /// A random number in `offset..offset + modulus`.
    Random {
        modulus: u32,
        offset: u32,
        to: Reg,
    },
    /// `RTN_*` type of the address, as this host routes it.
    FibType {
        of: FibOf,
        to: Reg,
    },
    Dnat {
        family: u8,
        addr: Reg,
        port: Reg,
    },
    MasqueradeFullyRandom,
    /// ICMP (or ICMPv6) unreachable with this code.
    Reject {
        code: u8,
    },
}

impl Expr {
    /// The name that the kernel looks the expression up by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::MetaLoad { .. } | Self::MetaSet { .. } => "meta",
            Self::CtLoad { .. } => "ct",
            Self::Cmp { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Lookup { .. } | Self::LookupVerdict { .. } => "lookup",
            Self::Update { .. } => "dynset",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Random { .. } => "numgen",
            Self::FibType { .. } => "fib",
            Self::Dnat { .. } => "nat",
            Self::MasqueradeFullyRandom => "masq",
            Self::Reject { .. } => "reject",
        }
    }

    /// Writes the expression as one `NFTA_LIST_ELEM`.
    pub fn encode(&self, w: &mut Writer) {
        const LIST_ELEM: u16 = 1;
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        w.nest(LIST_ELEM, |w| {
            w.str(NAME, self.name());
            w.nest(DATA, |w| self.encode_data(w));
        });
    }

    fn encode_data(&self, w: &mut Writer) {
        const FIB_RESULT_ADDRTYPE: u32 = 3;
        const NUMGEN_RANDOM: u32 = 1;
        const NAT_DNAT: u32 = 1;
        const RANDOM_FULLY: u32 = 1 << 4;
        const REJECT_ICMP_UNREACH: u32 = 0;
        const DYNSET_UPDATE: u32 = 1;
        match self {
            Self::Payload {
                base,
                offset,
                len,
                to,
            } => {
                w.u32(1, to.number());
                w.u32(2, *base as u32);
                w.u32(3, *offset);
                w.u32(4, *len);
            }
            Self::MetaLoad { key, to } => {
                w.u32(2, *key as u32);
                w.u32(1, to.number());
            }
            Self::MetaSet { key, from } => {
                w.u32(2, *key as u32);
                w.u32(3, from.number());
            }
            Self::CtLoad { key, to } => {
                w.u32(2, *key as u32);
                w.u32(1, to.number());
            }
            Self::Cmp { op, from, data } => {
                w.u32(1, from.number());
                w.u32(2, *op as u32);
                w.nest(3, |w| w.bytes(1, data));
            }
            Self::Bitwise { reg, mask, xor } => {
                w.u32(1, reg.number());
                w.u32(2, reg.number());
                w.u32(3, mask.len() as u32);
                w.nest(4, |w| w.bytes(1, mask));
                w.nest(5, |w| w.bytes(1, xor));
            }
            Self::Lookup { set, from, to } => {
                w.str(1, set);
                w.u32(2, from.number());
                if let Some(to) = to {
                    w.u32(3, to.number());
                }
            }
            Self::LookupVerdict { set, from } => {
                w.str(1, set);
                w.u32(2, from.number());
                w.u32(3, 0);
            }
            Self::Update { set, from } => {
                w.str(1, set);
                w.u32(3, DYNSET_UPDATE);
                w.u32(4, from.number());
            }
            Self::Immediate { to, data } => {
                w.u32(1, to.number());
                w.nest(2, |w| w.bytes(1, data));
            }
            Self::Verdict(verdict) => {
                w.u32(1, 0);
                w.nest(2, |w| verdict.encode(w));
            }
            Self::Random { modulus, offset, to } => {
                w.u32(1, to.number());
                w.u32(2, *modulus);
                w.u32(3, NUMGEN_RANDOM);
                w.u32(4, *offset);
            }
            Self::FibType { of, to } => {
                w.u32(1, to.number());
                w.u32(2, FIB_RESULT_ADDRTYPE);
                w.u32(3, *of as u32);
            }
            Self::Dnat { family, addr, port } => {
                w.u32(1, NAT_DNAT);
                w.u32(2, u32::from(*family));
                w.u32(3, addr.number());
                w.u32(5, port.number());
            }
            Self::MasqueradeFullyRandom => w.u32(1, RANDOM_FULLY),
            Self::Reject { code } => {
                w.u32(1, REJECT_ICMP_UNREACH);
                w.u8(2, *code);
            }
        }
    }
}
