use crate::config::Conntrack;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More tracked connections than this are not asked for, whatever the number of CPUs: each takes memory.
const MOST: u32 = 1_048_576;
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";

/// A kernel setting and the value that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    pub path: PathBuf,
    pub value: u64,
    /// A greater value that is there already is as good.
    pub at_least: bool,
}

/// The settings that the configuration asks for on a machine with so many CPUs.
pub fn settings(config: &Conntrack, cpus: u32) -> Vec<Sysctl> {
    let mut all = Vec::new();
    let exact = |name: &str, value: u64| Sysctl {
        path: Path::new("/proc/sys/net/netfilter").join(name),
        value,
        at_least: false,
    };
    if config.max_per_core > 0 {
        let scaled = config.max_per_core.saturating_mul(cpus);
        let max = if scaled > MOST {
            MOST
        } else {
            scaled.max(config.min)
        };
        all.push(exact("nf_conntrack_max", max.into()));
        all.push(Sysctl {
            path: HASH_SIZE.into(),
            value: u64::from(max) / 4,
            at_least: true,
        });
    }
    let timeouts = [
        ("nf_conntrack_tcp_timeout_established", config.tcp_established),
        ("nf_conntrack_tcp_timeout_close_wait", config.tcp_close_wait),
        ("nf_conntrack_udp_timeout", config.udp),
        ("nf_conntrack_udp_timeout_stream", config.udp_stream),
    ];
    all.extend(
        timeouts
            .iter()
            .filter(|(_, t)| *t >= Duration::from_secs(1))
            .map(|(name, t)| exact(name, t.as_secs())),
    );
    if config.tcp_be_liberal {
        all.push(exact("nf_conntrack_tcp_be_liberal", 1));
    }
    all
}

/// Writes a setting where it has another value. True when it was written.
///
/// # Errors
/// When it can neither be found right nor be written: `/proc` is read-only in most containers.
pub fn apply(sysctl: &Sysctl) -> io::Result<bool> {
    let now: Option<u64> = std::fs::read_to_string(&sysctl.path)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if now.is_some_and(|now| now == sysctl.value || (sysctl.at_least && now > sysctl.value)) {
        return Ok(false);
    }
    std::fs::write(&sysctl.path, sysctl.value.to_string()).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_with_cpus_within_bounds() {
        let config = Conntrack {
            max_per_core: 32768,
            min: 131_072,
            ..Conntrack::default()
        };
        let max = |cpus| settings(&config, cpus)[0].value;
        assert_eq!((max(1), max(8), max(64)), (131_072, 262_144, 1_048_576));
        assert_eq!(settings(&Conntrack::default(), 8), []);
    }

    #[test]
    fn a_setting_is_written_only_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("knob");
        std::fs::write(&path, "100\n").unwrap();
        let knob = |value, at_least| Sysctl {
            path: path.clone(),
            value,
            at_least,
        };
        assert!(!apply(&knob(100, false)).unwrap());
        assert!(!apply(&knob(50, true)).unwrap());
        assert!(apply(&knob(50, false)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "50");
        assert!(
            apply(&Sysctl {
                path: dir.path().join("no/such"),
                value: 1,
                at_least: false
            })
            .is_err()
        );
    }
}
