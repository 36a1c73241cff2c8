//! What nft keeps beside the kernel's own fields, in libnftnl's form: comments, byte orders, and for types that nft has no
//! name for, the expressions that they are the type of. The kernel stores it unread; `nft list` needs it, so that what it
//! prints can be read back.
//!
//! A field is one byte of kind, one of length, and the value; values may be fields again.

use super::object::{DataType, MapTo, Set};

/// `NFTNL_UDATA_*_COMMENT`, of tables, rules and elements.
pub const COMMENT: u8 = 0;

const SET_KEY_BYTE_ORDER: u8 = 0;
const SET_DATA_BYTE_ORDER: u8 = 1;
const SET_KEY_TYPE_OF: u8 = 3;
const SET_DATA_TYPE_OF: u8 = 4;
const SET_COMMENT: u8 = 7;

/// A string with its terminating zero. nft itself takes 128 characters.
pub fn userdata_string(kind: u8, text: &str) -> Vec<u8> {
    let mut end = text.len().min(128);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut value = text.as_bytes()[..end].to_vec();
    value.push(0);
    field(kind, &value)
}

/// Tells `nft list` in which byte order to read keys and values, and what they are the type of.
pub fn set_userdata(set: &Set) -> Vec<u8> {
    let mut out = number(SET_KEY_BYTE_ORDER, byte_order(&set.key));
    let data = match &set.to {
        Some(MapTo::Data(types)) => Some(types),
        _ => None,
    };
    if let Some(types) = data {
        out.extend(number(SET_DATA_BYTE_ORDER, byte_order(types)));
    }
    if set.key.contains(&DataType::Number) {
        out.extend(field(SET_KEY_TYPE_OF, &type_of(&set.key)));
        if let Some(types) = data {
            out.extend(field(SET_DATA_TYPE_OF, &type_of(types)));
        }
    }
    if let Some(comment) = set.comment {
        out.extend(userdata_string(SET_COMMENT, comment));
    }
    out
}

/// nft's `enum byteorder`: concatenations have none of their own.
fn byte_order(types: &[DataType]) -> u32 {
    const INVALID: u32 = 0;
    const HOST: u32 = 1;
    const BIG: u32 = 2;
    match types {
        [DataType::Number] => HOST,
        [_] => BIG,
        _ => INVALID,
    }
}

/// The concatenation of expressions that have these types.
fn type_of(types: &[DataType]) -> Vec<u8> {
    const CONCATENATION: u32 = 13;
    let parts = (0..).zip(types).flat_map(|(n, part)| {
        let (kind, data) = expression(*part);
        field(n, &typed(kind, &data))
    });
    typed(CONCATENATION, &parts.collect::<Vec<u8>>())
}

/// An expression of nft's `enum expr_types` that has this type, and what it is made of.
fn expression(of: DataType) -> (u32, Vec<u8>) {
    const PAYLOAD: u32 = 7;
    const META: u32 = 9;
    const NUMGEN: u32 = 23;
    let pair = |first, second| [number(0, first), number(1, second)].concat();
    match of {
        // `ip daddr`, `ip6 daddr`, `th dport`: a protocol and a field of its header, by nft's numbers.
        DataType::Ipv4Addr => (PAYLOAD, pair(12, 12)),
        DataType::Ipv6Addr => (PAYLOAD, pair(13, 9)),
        DataType::InetService => (PAYLOAD, pair(11, 2)),
        // `meta l4proto`.
        DataType::InetProto => (META, number(0, 16)),
        // `numgen random mod 2`: the modulus makes no difference.
        DataType::Number => (NUMGEN, [pair(1, 2), number(2, 0)].concat()),
    }
}

fn typed(kind: u32, data: &[u8]) -> Vec<u8> {
    [number(0, kind), field(1, data)].concat()
}

fn number(kind: u8, value: u32) -> Vec<u8> {
    field(kind, &value.to_ne_bytes())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    debug_assert!(
        value.len() <= usize::from(u8::MAX),
        "a field of {} bytes",
        value.len()
    );
    let mut out = vec![kind, value.len() as u8];
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nft 1.0.6 stores for `typeof meta l4proto . th dport . numgen random mod 2`.
    #[test]
    fn types_without_a_name_are_told_as_nft_tells_them() {
        let stored = "00040d0000000142000e00040900000001060004100000000114000407000000010c00040b0000000104020000\
                      00021a0004170000000112000401000000010402000000020400000000";
        let ours = type_of(&[DataType::InetProto, DataType::InetService, DataType::Number]);
        let ours: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
        if cfg!(target_endian = "little") {
            assert_eq!(ours, stored);
        }
    }

    #[test]
    fn a_long_comment_is_cut_between_characters() {
        let field = userdata_string(COMMENT, &"\u{e9}".repeat(100));
        assert_eq!((field[0], usize::from(field[1])), (COMMENT, field.len() - 2));
        assert_eq!(field.len(), 2 + 128 + 1);
        assert!(std::str::from_utf8(&field[2..field.len() - 1]).is_ok());
    }
}
