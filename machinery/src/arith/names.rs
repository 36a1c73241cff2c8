//! Generated names (`metadata.generateName`) and the checks of RFC 1123 names.

use rand::Rng;

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The longest name that `generateName` may lead to, in bytes.
pub const MAX_GENERATED_LENGTH: usize = 63;

const SUFFIX: usize = 5;

/// `count` random characters of the alphabet that upstream uses for names.
#[must_use]
pub fn random_suffix(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// `base` with a random suffix of five characters; a long base is cut so that the name fits.
#[must_use]
pub fn generate(base: &str) -> String {
    let mut cut = base.len().min(MAX_GENERATED_LENGTH - SUFFIX);
    while !base.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{}", &base[..cut], random_suffix(SUFFIX))
}

/// Whether `name` is an RFC 1123 label: at most 63 of `a-z0-9-`, no `-` at either end.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if edge(first) && edge(last))
        && bytes.len() <= 63
        && bytes.iter().all(|&byte| edge(byte) || byte == b'-')
}

/// Whether `name` is an RFC 1123 subdomain: labels joined by dots, at most 253 bytes.
#[must_use]
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_fits_and_keeps_its_base() {
        let name = generate("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generate(&"x".repeat(80)).len(), MAX_GENERATED_LENGTH);
    }

    #[test]
    fn labels_and_subdomains() {
        for (name, label, subdomain) in [
            ("a", true, true),
            ("a-b", true, true),
            ("-a", false, false),
            ("a.b", false, true),
            ("A", false, false),
            ("", false, false),
            ("a..b", false, false),
        ] {
            assert_eq!(
                (is_dns_label(name), is_dns_subdomain(name)),
                (label, subdomain),
                "{name}"
            );
        }
    }
}
