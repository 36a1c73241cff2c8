//! The machine under the node, read once from the kernel: pure parsers, and one function that reads the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::capacity::Machine;

/// Names and versions for `nodeInfo`, and the amounts for capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineInfo {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    /// Bytes; 0 without swap.
    pub swap: i64,
    pub amounts: Machine,
}

/// Where to read from: `/` on a node, a folder in tests.
#[derive(Clone, Debug)]
pub struct Root(pub PathBuf);

impl Root {
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.join(path)).ok()
    }

    fn first_line(&self, paths: &[&str]) -> Option<String> {
        paths
            .iter()
            .filter_map(|path| self.text(path))
            .map(|text| text.trim_matches(['\n', ' ', '\t', '\0']).to_owned())
            .find(|text| !text.is_empty())
    }

    /// Reads all there is to know. What cannot be read stays empty: a node without a machine id still works.
    pub fn machine(&self) -> MachineInfo {
        let meminfo = self.text("proc/meminfo").unwrap_or_default();
        let machine_id = self
            .first_line(&["etc/machine-id", "var/lib/dbus/machine-id"])
            .unwrap_or_default();
        MachineInfo {
            system_uuid: self
                .first_line(&[
                    "sys/class/dmi/id/product_uuid",
                    "proc/device-tree/system-id",
                    "proc/device-tree/vm,uuid",
                    "etc/machine-id",
                ])
                .unwrap_or_else(|| machine_id.clone()),
            machine_id,
            boot_id: self
                .first_line(&["proc/sys/kernel/random/boot_id"])
                .unwrap_or_default(),
            kernel: self
                .first_line(&["proc/sys/kernel/osrelease"])
                .unwrap_or_default(),
            os_image: ["etc/os-release", "usr/lib/os-release"]
                .iter()
                .find_map(|path| self.text(path).as_deref().and_then(pretty_name))
                .unwrap_or_else(|| "Unknown".to_owned()),
            swap: meminfo_bytes(&meminfo, "SwapTotal").unwrap_or(0),
            amounts: Machine {
                cores: self
                    .text("sys/devices/system/cpu/online")
                    .as_deref()
                    .map_or_else(parallelism, cpus_in),
                memory: meminfo_bytes(&meminfo, "MemTotal").unwrap_or(0),
                huge_pages: self.huge_pages(),
                storage: None,
            },
        }
    }

    fn huge_pages(&self) -> BTreeMap<i64, i64> {
        let folder = self.0.join("sys/kernel/mm/hugepages");
        let Ok(entries) = fs::read_dir(folder) else {
            return BTreeMap::new();
        };
        entries
            .flatten()
            .filter_map(|entry| {
                let size = huge_page_size(entry.file_name().to_str()?)?;
                let pages = fs::read_to_string(entry.path().join("nr_hugepages"))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()?;
                Some((size, pages))
            })
            .collect()
    }
}

/// Capacity in bytes of the file system that holds `path`, or will hold it once it is made.
///
/// # Errors
/// As `statvfs(3)`.
pub fn filesystem_capacity(path: &Path) -> std::io::Result<i64> {
    let there = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(path);
    let stat = rustix::fs::statvfs(there)?;
    Ok(i64::try_from(stat.f_blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX))
}

fn parallelism() -> i64 {
    std::thread::available_parallelism().map_or(1, |cores| i64::try_from(cores.get()).unwrap_or(1))
}

/// A line such as `MemTotal:       16073684 kB`, in bytes.
fn meminfo_bytes(meminfo: &str, field: &str) -> Option<i64> {
    let rest = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: i64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Counts a kernel CPU list such as `0-3,8`; at least one.
fn cpus_in(list: &str) -> i64 {
    let count: i64 = list
        .trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then(|| last - first + 1)
        })
        .sum();
    count.max(1)
}

/// `hugepages-2048kB` -> bytes.
fn huge_page_size(folder: &str) -> Option<i64> {
    let kib: i64 = folder
        .strip_prefix("hugepages-")?
        .strip_suffix("kB")?
        .parse()
        .ok()?;
    kib.checked_mul(1024)
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_fields_are_bytes() {
        let text = "MemTotal:       16073684 kB\nMemFree:  1 kB\nSwapTotal:             0 kB\n";
        assert_eq!(meminfo_bytes(text, "MemTotal"), Some(16_073_684 * 1024));
        assert_eq!(meminfo_bytes(text, "SwapTotal"), Some(0));
        assert_eq!(meminfo_bytes(text, "HugePages_Total"), None);
    }

    #[test]
    fn cpu_lists_are_counted() {
        for (list, want) in [
            ("0-1\n", 2),
            ("0", 1),
            ("0-3,8,10-11", 7),
            ("", 1),
            ("nonsense", 1),
        ] {
            assert_eq!(cpus_in(list), want, "{list}");
        }
    }

    #[test]
    fn os_names_lose_their_quotes() {
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            pretty_name(text).as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
        assert_eq!(pretty_name(""), None);
    }

    #[test]
    fn a_folder_of_kernel_files_is_read_and_gaps_are_tolerated() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/machine-id", "abc\n");
        write("proc/meminfo", "MemTotal: 10 kB\n");
        write("sys/devices/system/cpu/online", "0-3\n");
        write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n");
        let machine = Root(root.path().to_owned()).machine();
        assert_eq!(machine.machine_id, "abc");
        assert_eq!(machine.system_uuid, "abc");
        assert_eq!(machine.amounts.memory, 10_240);
        assert_eq!(machine.amounts.cores, 4);
        assert_eq!(machine.amounts.huge_pages, [(2 << 20, 4)].into());
        assert_eq!(machine.os_image, "Unknown");
    }
}
