use super::{NFGEN_HEADER, NLA_TYPE_MASK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR, NLMSG_HEADER, align};

/// One netlink message, borrowed from the buffer it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    /// What follows `struct nlmsghdr`.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes' bytes: what follows `struct nfgenmsg`.
    pub fn payload(&self) -> &'a [u8] {
        self.body.get(NFGEN_HEADER..).unwrap_or_default()
    }

    /// `nfgenmsg.nfgen_family`.
    pub fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// What an `NLMSG_ERROR` says; `None` for any other message.
    pub fn failure(&self) -> Option<Failure<'a>> {
        const MSG: u16 = 1;
        const OFFSET: u16 = 2;
        if self.kind != NLMSG_ERROR {
            return None;
        }
        let errno = -i32::from_ne_bytes(self.body.get(..4)?.try_into().ok()?);
        let original = self.body.get(4..4 + NLMSG_HEADER)?;
        let original_len = u32::from_ne_bytes(original.get(..4)?.try_into().ok()?) as usize;
        let mut failure = Failure {
            errno,
            seq: self.seq,
            offset: None,
            text: None,
        };
        if self.flags & NLM_F_ACK_TLVS != 0 {
            let skip = if self.flags & NLM_F_CAPPED != 0 {
                NLMSG_HEADER
            } else {
                align(original_len)
            };
            for attr in attrs(self.body.get(4 + skip..).unwrap_or_default()) {
                match attr.kind {
                    MSG => failure.text = attr.str(),
                    OFFSET => failure.offset = attr.value.try_into().ok().map(u32::from_ne_bytes),
                    _ => {}
                }
            }
        }
        Some(failure)
    }
}

/// The kernel's answer to one message: errno 0 is an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    pub errno: i32,
    /// The sequence number of the message that this answers.
    pub seq: u32,
    /// Offset in that message of the attribute that was refused.
    pub offset: Option<u32>,
    /// The kernel's own words, where it has any (`NETLINK_EXT_ACK`).
    pub text: Option<&'a str>,
}

/// Splits a buffer into messages; stops at the first malformed one.
pub fn messages(buf: &[u8]) -> Messages<'_> {
    Messages { rest: buf }
}

#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.rest.get(..NLMSG_HEADER)?;
        let len = u32::from_ne_bytes(header[0..4].try_into().ok()?) as usize;
        let body = self.rest.get(NLMSG_HEADER..len)?;
        let message = Message {
            kind: u16::from_ne_bytes(header[4..6].try_into().ok()?),
            flags: u16::from_ne_bytes(header[6..8].try_into().ok()?),
            seq: u32::from_ne_bytes(header[8..12].try_into().ok()?),
            body,
        };
        self.rest = self.rest.get(align(len)..).unwrap_or_default();
        Some(message)
    }
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attr<'a> {
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Attr<'a> {
    pub fn nested(&self) -> Attrs<'a> {
        attrs(self.value)
    }

    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    pub fn u16(&self) -> Option<u16> {
        self.value.try_into().ok().map(u16::from_be_bytes)
    }

    pub fn u32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    pub fn u64(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_be_bytes)
    }

    pub fn str(&self) -> Option<&'a str> {
        let end = self
            .value
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).ok()
    }
}

/// Splits bytes into attributes; stops at the first malformed one.
pub fn attrs(buf: &[u8]) -> Attrs<'_> {
    Attrs { rest: buf }
}

#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    /// The first attribute of this kind.
    pub fn find(mut self, kind: u16) -> Option<Attr<'a>> {
        Iterator::find(&mut self, |a| a.kind == kind)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let header = self.rest.get(..4)?;
        let len = usize::from(u16::from_ne_bytes(header[0..2].try_into().ok()?));
        let kind = u16::from_ne_bytes(header[2..4].try_into().ok()?) & NLA_TYPE_MASK;
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(align(len)..).unwrap_or_default();
        Some(Attr { kind, value })
    }
}
