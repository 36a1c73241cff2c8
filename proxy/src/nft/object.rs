//! Typed nf_tables objects: what a table is made of.

use super::expr::Expr;
use std::sync::Arc;

/// One rule of a chain. The comment is what `nft list` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub exprs: Vec<Expr>,
    pub comment: Option<&'static str>,
}

impl Rule {
    pub fn new(exprs: Vec<Expr>) -> Self {
        Self { exprs, comment: None }
    }

    /// All expressions of all parts, in order.
    pub fn of(parts: impl IntoIterator<Item = Vec<Expr>>) -> Self {
        Self::new(parts.into_iter().flatten().collect())
    }

    pub fn comment(mut self, comment: &'static str) -> Self {
        self.comment = Some(comment);
        self
    }
}

/// A hook that a base chain hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    pub kind: ChainKind,
    pub number: HookNumber,
    pub priority: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

impl ChainKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

/// `NF_INET_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookNumber {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A chain with all of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: Arc<str>,
    pub hook: Option<Hook>,
    pub rules: Vec<Rule>,
}

impl Chain {
    pub fn new(name: impl Into<Arc<str>>, rules: Vec<Rule>) -> Self {
        Self {
            name: name.into(),
            hook: None,
            rules,
        }
    }
}

/// nft's numbers of data types, which the kernel stores and hands back to whoever lists the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// A number in host order, as `numgen` makes it. nft has no name for the type: see [`super::userdata`].
    Number = 4,
    Ipv4Addr = 7,
    Ipv6Addr = 8,
    InetProto = 12,
    InetService = 13,
}

impl DataType {
    /// Bytes in a register, padding included.
    pub fn len(self) -> u32 {
        match self {
            Self::Ipv6Addr => 16,
            _ => 4,
        }
    }
}

/// What a map's keys lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapTo {
    Verdict,
    Data(Vec<DataType>),
}

/// A named set, or a map where `to` is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: Arc<str>,
    pub key: Vec<DataType>,
    pub to: Option<MapTo>,
    /// For sets that rules fill: how long an element lives, in milliseconds.
    pub timeout_ms: Option<u64>,
    pub comment: Option<&'static str>,
}

impl Set {
    pub fn key_len(&self) -> u32 {
        self.key.iter().map(|t| t.len()).sum()
    }
}
