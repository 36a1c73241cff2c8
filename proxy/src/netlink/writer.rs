use super::{NLA_F_NESTED, NfProto, align};

/// Appends netlink messages and attributes to one buffer.
///
/// Lengths are patched when a message or a nest closes, so nothing is built twice.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
}

/// Where an open message or nest starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an open message or nest must be closed"]
pub struct Mark(usize);

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.buf
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.buf
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Opens a message: `struct nlmsghdr` and `struct nfgenmsg`.
    pub fn open_message(&mut self, kind: u16, flags: u16, seq: u32, family: NfProto, resource: u16) -> Mark {
        let start = self.buf.len();
        self.buf.extend_from_slice(&0u32.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(&flags.to_ne_bytes());
        self.buf.extend_from_slice(&seq.to_ne_bytes());
        self.buf.extend_from_slice(&0u32.to_ne_bytes());
        self.buf.push(family as u8);
        self.buf.push(0);
        self.buf.extend_from_slice(&resource.to_be_bytes());
        Mark(start)
    }

    pub fn close_message(&mut self, mark: Mark) {
        let len = (self.buf.len() - mark.0) as u32;
        self.buf[mark.0..mark.0 + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Opens a nested attribute. Its content must stay below 64 KiB: `nla_len` is 16 bits wide.
    pub fn open_nest(&mut self, kind: u16) -> Mark {
        let start = self.buf.len();
        self.header(kind | NLA_F_NESTED, 0);
        Mark(start)
    }

    pub fn close_nest(&mut self, mark: Mark) {
        let len = self.buf.len() - mark.0;
        debug_assert!(
            len <= usize::from(u16::MAX),
            "a nest of {len} bytes does not fit nla_len"
        );
        self.buf[mark.0..mark.0 + 2].copy_from_slice(&(len as u16).to_ne_bytes());
    }

    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let mark = self.open_nest(kind);
        content(self);
        self.close_nest(mark);
    }

    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.buf.extend_from_slice(value);
        self.pad();
    }

    /// Attributes that were written elsewhere.
    pub fn raw(&mut self, attributes: &[u8]) {
        self.buf.extend_from_slice(attributes);
    }

    /// A string with its terminating zero.
    pub fn str(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len() + 1);
        self.buf.extend_from_slice(value.as_bytes());
        self.buf.push(0);
        self.pad();
    }

    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    fn header(&mut self, kind: u16, len: usize) {
        self.buf.extend_from_slice(&((len + 4) as u16).to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.buf.resize(align(self.buf.len()), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{NLM_F_REQUEST, attrs, messages};
    use proptest::prelude::*;

    #[test]
    fn a_message_has_the_layout_that_the_kernel_documents() {
        let mut w = Writer::new();
        let mark = w.open_message(0x0a00, NLM_F_REQUEST, 7, NfProto::Ipv4, 0);
        w.str(1, "abc");
        w.nest(4, |w| w.u32(1, 0x0102_0304));
        w.close_message(mark);
        let expected: &[u8] = &[
            40, 0, 0, 0, 0x00, 0x0a, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, // headers
            8, 0, 1, 0, b'a', b'b', b'c', 0, // string
            12, 0, 4, 0x80, 8, 0, 1, 0, 1, 2, 3, 4, // nest
        ];
        if cfg!(target_endian = "little") {
            assert_eq!(w.as_bytes(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in proptest::collection::vec((1u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut w = Writer::new();
            for seq in 0..3 {
                let mark = w.open_message(1, 0, seq, NfProto::Ipv6, 9);
                for (kind, value) in &values {
                    w.bytes(*kind, value);
                }
                w.close_message(mark);
            }
            let all: Vec<_> = messages(w.as_bytes()).collect();
            prop_assert_eq!(all.len(), 3);
            for (seq, message) in all.iter().enumerate() {
                prop_assert_eq!(message.seq as usize, seq);
                let read: Vec<_> = attrs(message.payload()).map(|a| (a.kind, a.value.to_vec())).collect();
                prop_assert_eq!(&read, &values);
            }
        }

        #[test]
        fn readers_survive_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                let _ = message.failure();
                for attr in attrs(message.payload()) {
                    let _ = (attr.u32(), attr.str(), attr.nested().count());
                }
            }
        }
    }
}
