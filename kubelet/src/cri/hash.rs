//! The container hash: when it differs from what a running container carries, the container is restarted. It must equal
//! upstream's bit for bit, or a swap of kubelets would restart everything.
//!
//! FNV-1a (32 bits) over Go's `%v` of the bytes of the JSON `{"image":...,"name":...}`
//! (upstream: `pkg/kubelet/container/helpers.go`).

use std::fmt::Write as _;

use machinery::arith::fnv::fnv32a;

/// The hash of a container of this name and image.
#[must_use]
pub fn container(name: &str, image: &str) -> u64 {
    let mut json = String::with_capacity(name.len() + image.len() + 24);
    json.push_str("{\"image\":");
    go_json_string(&mut json, image);
    json.push_str(",\"name\":");
    go_json_string(&mut json, name);
    json.push('}');
    let mut dump = String::with_capacity(json.len() * 4 + 12);
    dump.push_str("([]uint8)[");
    for (i, byte) in json.bytes().enumerate() {
        if i > 0 {
            dump.push(' ');
        }
        let _ = write!(dump, "{byte}");
    }
    dump.push(']');
    u64::from(fnv32a(dump.as_bytes()))
}

/// A string as Go's `encoding/json` writes it (`<`, `>`, `&`, U+2028 and U+2029 escaped).
fn go_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::container;

    /// Values that upstream's `HashContainer` returns.
    #[test]
    fn equals_upstreams_hash() {
        for (name, image, hash) in [
            (
                "agnhost",
                "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
                0x50aa_2032,
            ),
            ("a", "b", 0x646f_ef1b),
            ("web", "nginx", 0x0969_0f4d),
            ("x<y>&", "é/\u{2028}:1", 0x0e7e_789e),
            ("coredns", "registry.k8s.io/coredns/coredns:v1.15.0", 0xbcae_7590),
        ] {
            assert_eq!(container(name, image), hash, "{name} {image}");
        }
    }
}
