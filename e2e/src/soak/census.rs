//! What there is on a node that pods leave behind if nobody cleans up.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::rig::Rig;

/// Counts each kind, one `KIND COUNT` a line.
const COUNT: &str = r#"
echo "pod mounts $(grep -c /var/lib/kubelet/pods/ /proc/self/mountinfo)"
echo "pod folders $(ls /var/lib/kubelet/pods 2>/dev/null | wc -l)"
echo "pod cgroups $(find /sys/fs/cgroup -type d -name '*pod*-*-*' 2>/dev/null | wc -l)"
echo "pod logs $(ls /var/log/pods 2>/dev/null | wc -l)"
echo "veths $(ip -o link show type veth | wc -l)"
echo "sandboxes $(ls /run/containerd/io.containerd.runtime.v2.task/k8s.io 2>/dev/null | wc -l)"
echo "rule lines $(nft list ruleset | grep -v -E '^\s*comment|counter packets' | wc -l)"
"#;

/// Counts by kind.
pub type Census = BTreeMap<String, u64>;

/// Counts what there is on `node` now.
pub fn take(rig: &Rig, node: &str) -> Result<Census> {
    let output = rig.exec(node, &["sh", "-c", COUNT])?;
    ensure!(
        output.status.success(),
        "counting on {node}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(text: &str) -> Result<Census> {
    text.lines()
        .map(|line| {
            let (kind, count) = line.rsplit_once(' ').context("a line without a count")?;
            let count = count.parse().with_context(|| format!("reading {line:?}"))?;
            Ok((kind.to_owned(), count))
        })
        .collect()
}

/// What there is more of than there was.
pub fn leaks(before: &Census, after: &Census) -> Census {
    after
        .iter()
        .filter_map(|(kind, count)| {
            let more = count.saturating_sub(before.get(kind).copied().unwrap_or(0));
            (more > 0).then(|| (kind.clone(), more))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_what_there_is_more_of() {
        let before = read("pod mounts 3\nveths 2\n").unwrap();
        let after = read("pod mounts 2\nveths 4\nsandboxes 1\n").unwrap();
        let leaks = leaks(&before, &after);
        assert_eq!(leaks, read("sandboxes 1\nveths 2\n").unwrap());
        assert!(read("veths").is_err());
    }
}
