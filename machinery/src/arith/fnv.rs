//! FNV-1a, 32 and 64 bits, and the alphabet that upstream writes hashes in.

/// A running 32-bit FNV-1a hash.
#[derive(Clone, Copy, Debug)]
pub struct Fnv32a(u32);

impl Default for Fnv32a {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv32a {
    /// Takes more bytes into the hash.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// The hash of all bytes written so far.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0
    }
}

impl std::fmt::Write for Fnv32a {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// The 32-bit FNV-1a hash of `bytes`.
#[must_use]
pub fn fnv32a(bytes: &[u8]) -> u32 {
    let mut hash = Fnv32a::default();
    hash.write(bytes);
    hash.finish()
}

/// The 64-bit FNV-1a hash of `bytes`.
#[must_use]
pub fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Writes `text` in an alphabet without vowels or look-alikes, byte for byte, so that a hash in an
/// object's name spells no word (apimachinery `rand.SafeEncodeString`).
#[must_use]
pub fn safe_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(fnv32a(b""), 0x811c_9dc5);
        assert_eq!(fnv32a(b"a"), 0xe40c_292c);
        assert_eq!(fnv32a(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv64a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn safe_encoding_maps_each_byte_to_the_alphabet() {
        // '0' is 48, 48 % 27 is 21, the 22nd letter of the alphabet.
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        assert_eq!(safe_encode(""), "");
    }
}
