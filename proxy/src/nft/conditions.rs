//! What rules ask of a packet, and the mark that they leave on it.

use super::expr::{CmpOp, CtKey, Expr, FibOf, MetaKey, Reg};
use super::ip::Ip;
use super::settings::{LocalTraffic, Settings};

/// Sets the masquerade bit of the packet's mark.
pub fn mark_for_masquerade(mark: u32) -> Vec<Expr> {
    vec![
        Expr::MetaLoad {
            key: MetaKey::Mark,
            to: Reg(0),
        },
        Expr::Bitwise {
            reg: Reg(0),
            mask: (!mark).to_ne_bytes().to_vec(),
            xor: mark.to_ne_bytes().to_vec(),
        },
        Expr::MetaSet {
            key: MetaKey::Mark,
            from: Reg(0),
        },
    ]
}

/// Matches traffic of pods, or with `Neq` traffic of others; `None` when that cannot be told.
pub fn local_traffic(settings: &Settings, op: CmpOp) -> Option<Vec<Expr>> {
    let ip = Ip::of(settings.family);
    let iif = |data: Vec<u8>| {
        vec![
            Expr::MetaLoad {
                key: MetaKey::IifName,
                to: Reg(0),
            },
            Expr::Cmp {
                op,
                from: Reg(0),
                data,
            },
        ]
    };
    match &settings.local_traffic {
        LocalTraffic::Unknown => None,
        LocalTraffic::Cidr(net) => Some(ip.prefix(ip.load_saddr(Reg(0)), op, *net)),
        LocalTraffic::Interface(name) => {
            let mut data = name.as_bytes().to_vec();
            data.resize(16, 0);
            Some(iif(data))
        }
        LocalTraffic::InterfacePrefix(prefix) => Some(iif(prefix.as_bytes().to_vec())),
    }
}

/// Matches packets whose source address is this host's.
pub fn from_this_host() -> Vec<Expr> {
    fib_local(FibOf::Saddr)
}

/// Matches packets one of whose addresses is this host's.
pub fn fib_local(of: FibOf) -> Vec<Expr> {
    const RTN_LOCAL: u32 = 2;
    vec![
        Expr::FibType { of, to: Reg(0) },
        Expr::Cmp {
            op: CmpOp::Eq,
            from: Reg(0),
            data: RTN_LOCAL.to_ne_bytes().to_vec(),
        },
    ]
}

/// Matches the first packet of a connection.
pub fn new_connections() -> Vec<Expr> {
    const STATE_NEW: u32 = 8;
    vec![
        Expr::CtLoad {
            key: CtKey::State,
            to: Reg(0),
        },
        Expr::Bitwise {
            reg: Reg(0),
            mask: STATE_NEW.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expr::Cmp {
            op: CmpOp::Neq,
            from: Reg(0),
            data: vec![0; 4],
        },
    ]
}
