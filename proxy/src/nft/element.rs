//! Elements of sets and maps, as bytes that are compared, hashed and sent as they are.

use super::verdict::Verdict;
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes of the longest key: IPv6 source and destination, protocol and port.
const LONGEST: usize = 40;

/// A key or a value: concatenated fields, each padded to four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST],
            len: 0,
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Bytes {
    pub fn new() -> Self {
        Self::default()
    }

    /// `None` when there are more bytes than any key here has.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= LONGEST).then(|| Self::default().push(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub fn addr(self, addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => self.push(&v4.octets()),
            IpAddr::V6(v6) => self.push(&v6.octets()),
        }
    }

    /// An IP protocol number.
    pub fn proto(self, proto: u8) -> Self {
        self.push(&[proto, 0, 0, 0])
    }

    pub fn port(self, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        self.push(&[high, low, 0, 0])
    }

    /// A host-order number, as random ones are.
    pub fn number(self, number: u32) -> Self {
        self.push(&number.to_ne_bytes())
    }

    /// Fields beyond the longest key are a bug in the caller; they are cut rather than panicked about.
    fn push(mut self, field: &[u8]) -> Self {
        let at = usize::from(self.len);
        debug_assert!(at + field.len() <= LONGEST, "a key of more than {LONGEST} bytes");
        let end = (at + field.len()).min(LONGEST);
        self.bytes[at..end].copy_from_slice(&field[..end - at]);
        self.len = end as u8;
        self
    }
}

/// What a key leads to; `None` in a plain set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    None,
    Data(Bytes),
    Verdict(Verdict),
}

/// One element of a named set or map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    pub set: Arc<str>,
    pub key: Bytes,
    pub value: Value,
    /// Milliseconds that are left of the set's timeout.
    pub expires_ms: Option<u64>,
    pub comment: Option<Arc<str>>,
}

impl Element {
    pub fn new(set: &Arc<str>, key: Bytes, value: Value) -> Self {
        Self {
            set: set.clone(),
            key,
            value,
            expires_ms: None,
            comment: None,
        }
    }
}
