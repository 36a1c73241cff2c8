//! Where the two IP families keep what rules read.

use super::expr::{Base, CmpOp, Expr, MetaKey, Reg};
use super::names::Front;
use super::object::DataType;
use crate::model::Family;
use ipnet::IpNet;
use std::net::IpAddr;

/// Offsets and widths that differ between the families.
pub(super) struct Ip {
    pub family: Family,
    pub saddr: u32,
    pub daddr: u32,
    pub len: u32,
    pub addr: DataType,
}

impl Ip {
    pub fn of(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self {
                family,
                saddr: 12,
                daddr: 16,
                len: 4,
                addr: DataType::Ipv4Addr,
            },
            Family::Ipv6 => Self {
                family,
                saddr: 8,
                daddr: 24,
                len: 16,
                addr: DataType::Ipv6Addr,
            },
        }
    }

    /// Registers that an address takes.
    pub fn regs(&self) -> u8 {
        (self.len / 4) as u8
    }

    pub fn load_saddr(&self, to: Reg) -> Expr {
        Expr::Payload {
            base: Base::Network,
            offset: self.saddr,
            len: self.len,
            to,
        }
    }

    pub fn load_daddr(&self, to: Reg) -> Expr {
        Expr::Payload {
            base: Base::Network,
            offset: self.daddr,
            len: self.len,
            to,
        }
    }

    /// Loads the key of a Service's front and says which register comes behind it.
    pub fn load_front(&self, front: Front) -> (Vec<Expr>, Reg) {
        let (mut exprs, next) = match front {
            Front::Service => (vec![self.load_daddr(Reg(0))], self.regs()),
            Front::NodePort => (Vec::new(), 0),
        };
        exprs.push(Expr::MetaLoad {
            key: MetaKey::L4Proto,
            to: Reg(next),
        });
        exprs.push(Expr::Payload {
            base: Base::Transport,
            offset: 2,
            len: 2,
            to: Reg(next + 1),
        });
        (exprs, Reg(next + 2))
    }

    pub fn front_key(&self, front: Front) -> Vec<DataType> {
        let mut key = match front {
            Front::Service => vec![self.addr],
            Front::NodePort => Vec::new(),
        };
        key.extend([DataType::InetProto, DataType::InetService]);
        key
    }

    /// Matches (or with `Neq`, does not match) an address against a prefix.
    pub fn prefix(&self, load: Expr, op: CmpOp, net: IpNet) -> Vec<Expr> {
        let octets = |addr: IpAddr| match addr {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let mask = octets(net.netmask());
        let xor = vec![0; mask.len()];
        vec![
            load,
            Expr::Bitwise {
                reg: Reg(0),
                mask,
                xor,
            },
            Expr::Cmp {
                op,
                from: Reg(0),
                data: octets(net.network()),
            },
        ]
    }

    pub fn localhost(&self, op: CmpOp) -> Vec<Expr> {
        match self.family {
            Family::Ipv4 => vec![
                Expr::Payload {
                    base: Base::Network,
                    offset: self.daddr,
                    len: 1,
                    to: Reg(0),
                },
                Expr::Cmp {
                    op,
                    from: Reg(0),
                    data: vec![127],
                },
            ],
            Family::Ipv6 => vec![
                self.load_daddr(Reg(0)),
                Expr::Cmp {
                    op,
                    from: Reg(0),
                    data: std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
                },
            ],
        }
    }

    pub fn port_unreachable(&self) -> Expr {
        match self.family {
            Family::Ipv4 => Expr::Reject { code: 3 },
            Family::Ipv6 => Expr::Reject { code: 4 },
        }
    }
}
