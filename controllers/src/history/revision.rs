//! Names, hashes and order of revisions.

use crate::api::ControllerRevision;
use crate::hash::safe_encode;
use std::sync::Arc;

/// The label with which pods and the revisions of DaemonSets say which revision they are of.
pub const REVISION_HASH: &str = "controller-revision-hash";

/// The most bytes of an owner's name in the name of its revision.
const LONGEST_PREFIX: usize = 223;

/// The hash of a StatefulSet's revision: FNV-1 over the data and, where names have collided, the count of collisions.
pub fn hash(data: &str, collisions: Option<i32>) -> String {
    let count = collisions.map(|count| count.to_string()).unwrap_or_default();
    let sum = data
        .bytes()
        .chain(count.bytes())
        .fold(0x811c_9dc5_u32, |sum, byte| {
            sum.wrapping_mul(0x0100_0193) ^ u32::from(byte)
        });
    safe_encode(&sum.to_string())
}

/// The name of the revision of `owner` with this hash.
pub fn name(owner: &str, hash: &str) -> String {
    let end = owner.floor_char_boundary(LONGEST_PREFIX);
    format!("{}-{hash}", &owner[..end])
}

/// Whether both hold the same bytes.
pub fn is_same(one: &ControllerRevision, two: &str) -> bool {
    one.data() == two
}

/// Oldest first; among those of one number the older object, then the name, decides.
pub fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by(|a, b| {
        a.revision
            .cmp(&b.revision)
            .then_with(|| {
                let created = |r: &ControllerRevision| r.metadata.creation_timestamp.map(|time| time.0);
                created(a).cmp(&created(b))
            })
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
}

/// The largest revision number, or 0.
pub fn newest<'r>(revisions: impl IntoIterator<Item = &'r Arc<ControllerRevision>>) -> i64 {
    revisions
        .into_iter()
        .map(|revision| revision.revision)
        .max()
        .unwrap_or(0)
        .max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_fnv_1_and_not_1a() {
        // From Go: fnv.New32() over "a" is 0x050c5d7e = 84696446.
        assert_eq!(hash("a", None), safe_encode("84696446"));
        assert_ne!(hash("a", Some(0)), hash("a", None));
        assert_eq!(hash("a", Some(12)), hash("a12", None));
    }

    #[test]
    fn long_names_are_cut() {
        let name = name(&"x".repeat(253), "abcdefghij");
        assert_eq!(name.len(), 223 + 1 + 10);
    }

    #[test]
    fn revisions_sort_by_number_then_age_then_name() {
        let revision = |name: &str, revision: i64, second: i64| -> Arc<ControllerRevision> {
            let time = jiff::Timestamp::from_second(second).unwrap().to_string();
            Arc::new(
                serde_json::from_value(serde_json::json!({ "metadata": { "name": name, "creationTimestamp": time }, "revision": revision }))
                    .unwrap(),
            )
        };
        let mut all = vec![
            revision("d", 2, 5),
            revision("c", 1, 9),
            revision("b", 2, 4),
            revision("a", 2, 5),
        ];
        sort(&mut all);
        let names: Vec<_> = all.iter().map(|r| r.metadata.name.as_str().to_owned()).collect();
        assert_eq!(names, ["c", "b", "a", "d"]);
        assert_eq!(newest(&all), 2);
    }
}
