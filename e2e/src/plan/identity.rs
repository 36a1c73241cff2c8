//! The names that keep two rigs on one machine apart, all drawn from the path of the state folder.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First port of the range from which a rig's loopback port is drawn.
const FIRST_PORT: u16 = 21_000;
/// How many ports that range holds.
const PORTS: u16 = 8_000;

/// Short name of a rig: six hexadecimal digits that follow from its state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigId(String);

impl RigId {
    /// The identity of the rig whose state lives in `folder` (an absolute, resolved path).
    pub fn of(folder: &Path) -> Self {
        let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
        Self(digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Name of the cgroup, in every hierarchy, under which everything that the rig runs lives.
    pub fn cgroup(&self) -> String {
        format!("rig-{}", self.0)
    }

    /// The loopback port that the API server would have; the `attempt`th alternative where that is taken.
    pub fn port(&self, attempt: u16) -> u16 {
        let seed = u16::from_str_radix(&self.0[..4], 16).unwrap_or_default();
        FIRST_PORT + seed.wrapping_add(attempt.wrapping_mul(37)) % PORTS
    }

    /// The six digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RigId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_have_different_names_and_one_folder_always_the_same() {
        let (a, b) = (
            RigId::of(Path::new("/a/target/rig")),
            RigId::of(Path::new("/b/target/rig")),
        );
        assert_ne!(a, b);
        assert_ne!(a.cgroup(), b.cgroup());
        assert_eq!(a, RigId::of(Path::new("/a/target/rig")));
        assert_eq!(a.as_str().len(), 6);
    }

    #[test]
    fn ports_stay_in_range_and_differ_between_attempts() {
        let id = RigId::of(Path::new("/a/target/rig"));
        let ports: Vec<u16> = (0..50).map(|attempt| id.port(attempt)).collect();
        assert!(
            ports
                .iter()
                .all(|port| (FIRST_PORT..FIRST_PORT + PORTS).contains(port))
        );
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ports.len());
    }
}
