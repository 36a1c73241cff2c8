//! The identity of a pod template: the `pod-template-hash` that upstream gives it, and whether two templates are the same.
//!
//! ```text
//! template (JSON) --schema, dump--> the text that Go's spew prints --FNV-1a 32, safe encoding--> pod-template-hash
//!                 --the same walk, values normalised--> TemplateId, equal for semantically equal templates
//! ```
//!
//! Upstream hashes a dump of the in-memory Go struct, so the field order, the Go type names and even what its quantity
//! parser caches are part of the result. [`schema`] is that struct layout as a table, generated from the Go types.

mod dump;
mod quantity;
mod schema;
mod schema_types;

use dump::{Mode, Walk};
use serde_json::Value;

/// Tells templates apart as upstream's semantic comparison does, leaving out the `pod-template-hash` label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TemplateId(u128);

/// The label that upstream adds to the ReplicaSets and pods of a Deployment.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The value of `pod-template-hash` for a template (JSON of a core/v1 `PodTemplateSpec`), as `ComputeHash` in upstream's pkg/controller.
///
/// # Errors
/// When the text is not a JSON object.
pub fn pod_template_hash(template: &str, collision_count: Option<i32>) -> Result<String, serde_json::Error> {
    let template: Value = serde_json::from_str(template)?;
    let mut sum = Fnv32::default();
    Walk {
        out: &mut sum,
        mode: Mode::Hash,
    }
    .template(&template);
    if let Some(count) = collision_count {
        // Upstream writes a 32-bit count into an 8-byte buffer.
        sum.write(&count.to_le_bytes());
        sum.write(&[0; 4]);
    }
    Ok(safe_encode(&sum.0.to_string()))
}

/// The identity of a template (JSON of a core/v1 `PodTemplateSpec`).
///
/// # Errors
/// When the text is not a JSON object.
pub fn template_id(template: &str) -> Result<TemplateId, serde_json::Error> {
    let template: Value = serde_json::from_str(template)?;
    let mut sum = Fnv128::default();
    Walk {
        out: &mut sum,
        mode: Mode::Compare,
    }
    .template(&template);
    Ok(TemplateId(sum.0))
}

/// Where a dump is written to.
trait Sink {
    fn write(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

struct Fnv32(u32);

impl Default for Fnv32 {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Sink for Fnv32 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |sum, b| (sum ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    }
}

struct Fnv128(u128);

impl Default for Fnv128 {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Sink for Fnv128 {
    fn write(&mut self, bytes: &[u8]) {
        const PRIME: u128 = (1 << 88) + (1 << 8) + 0x3b;
        self.0 = bytes
            .iter()
            .fold(self.0, |sum, b| (sum ^ u128::from(*b)).wrapping_mul(PRIME));
    }
}

/// Spells digits in an alphabet without vowels, so that no hash is a word (apimachinery `util/rand.SafeEncodeString`).
pub fn safe_encode(text: &str) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    text.bytes()
        .map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Vector {
        name: String,
        collision_count: Option<i32>,
        hash: String,
        template: Box<RawValue>,
    }

    fn dump(template: &str) -> String {
        let mut out = Vec::new();
        Walk {
            out: &mut out,
            mode: Mode::Hash,
        }
        .template(&serde_json::from_str(template).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hashes_equal_those_that_upstreams_libraries_computed() {
        let file = std::env::var("POD_TEMPLATE_HASHES")
            .map(|path| std::fs::read_to_string(path).unwrap())
            .unwrap_or_else(|_| include_str!("../../tests/data/pod-template-hashes.json").to_owned());
        let vectors: Vec<Vector> = serde_json::from_str(&file).unwrap();
        assert!(vectors.len() > 40);
        let wrong: Vec<_> = vectors
            .iter()
            .filter(|v| pod_template_hash(v.template.get(), v.collision_count).unwrap() != v.hash)
            .map(|v| format!("{}: {}", v.name, dump(v.template.get())))
            .collect();
        assert!(
            wrong.is_empty(),
            "{} of {} differ:\n{}",
            wrong.len(),
            vectors.len(),
            wrong.join("\n")
        );
    }

    #[test]
    fn identity_leaves_out_the_hash_label_and_ways_of_writing() {
        let id = |t: &str| template_id(t).unwrap();
        let plain = id(
            r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}}"#,
        );
        assert_eq!(
            plain,
            id(
                r#"{"metadata":{"creationTimestamp":null,"labels":{"pod-template-hash":"x","a":"b"}},"spec":{"tolerations":[],"containers":[{"resources":{"limits":{"cpu":"1000m"}},"name":"c"}]}}"#
            )
        );
        assert_ne!(
            plain,
            id(
                r#"{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}}"#
            )
        );
        assert_eq!(
            id(r#"{"metadata":{"labels":{"pod-template-hash":"x"}}}"#),
            id("{}")
        );
        // The label counts where it is not the template's own.
        assert_ne!(
            id(r#"{"spec":{"nodeSelector":{"pod-template-hash":"x"}}}"#),
            id("{}")
        );
        // A pointer to nothing is not a pointer to an empty struct.
        assert_ne!(id(r#"{"spec":{"securityContext":{}}}"#), id("{}"));
    }

    #[test]
    fn safe_encoding_is_upstreams() {
        // Digits are bytes 48 to 57; 48 modulo 27 is 21.
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
    }
}
