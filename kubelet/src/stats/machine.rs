//! What the whole machine uses: pure parsers of the kernel's tables.

use super::summary::InterfaceStats;

/// Ticks a second in `/proc/stat`: fixed in the kernel's interface.
const TICKS: u64 = 100;

/// CPU time used, in nanoseconds, from `/proc/stat`; waiting and idling is not using.
pub fn cpu_nanoseconds(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system (idle iowait) irq softirq steal; guest time is in user already.
    let used: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum();
    (fields.len() >= 4).then_some(used * (1_000_000_000 / TICKS))
}

/// Memory by `/proc/meminfo`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub usage: u64,
    pub working_set: u64,
    pub rss: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

/// Reads `/proc/meminfo`. The working set is what cannot be taken back at once: used memory without inactive file pages.
pub fn memory(meminfo: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        let rest = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    let total = field("MemTotal")?;
    let usage = total.saturating_sub(field("MemFree")?);
    Some(Memory {
        total,
        usage,
        working_set: usage.saturating_sub(field("Inactive(file)").unwrap_or(0)),
        rss: field("AnonPages").unwrap_or(0),
        swap_total: field("SwapTotal").unwrap_or(0),
        swap_free: field("SwapFree").unwrap_or(0),
    })
}

/// Page faults, all and those that had to wait for a disk, from `/proc/vmstat`.
pub fn page_faults(vmstat: &str) -> (Option<u64>, Option<u64>) {
    let field = |name: &str| {
        vmstat
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    (field("pgfault"), field("pgmajfault"))
}

/// Interfaces from `/proc/net/dev`, without the loopback and without those that belong to pods.
pub fn interfaces(dev: &str) -> Vec<InterfaceStats> {
    dev.lines()
        .skip(2)
        .filter_map(|line| {
            let (name, counters) = line.split_once(':')?;
            let name = name.trim();
            let fields: Vec<u64> = counters
                .split_whitespace()
                .map_while(|field| field.parse().ok())
                .collect();
            let field = |at: usize| fields.get(at).copied().unwrap_or(0);
            let is_ours = name != "lo"
                && !["veth", "docker", "cali"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix));
            is_ours.then(|| InterfaceStats {
                name: name.to_owned(),
                rx_bytes: field(0),
                rx_errors: field(2),
                tx_bytes: field(8),
                tx_errors: field(10),
            })
        })
        .collect()
}

/// The interface of the default route, from `/proc/net/route`.
pub fn default_interface(route: &str) -> Option<&str> {
    route.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        (fields.next()? == "00000000").then_some(name)
    })
}

/// Processes and threads that exist, from `/proc/loadavg` (`0.1 0.2 0.3 1/234 5678`).
pub fn processes(loadavg: &str) -> Option<i64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_what_was_used() {
        assert_eq!(
            cpu_nanoseconds("cpu  1 2 3 100 50 4 5 6 7 8\ncpu0 1\n"),
            Some(21 * 10_000_000)
        );
        assert_eq!(cpu_nanoseconds("intr 5\n"), None);
    }

    #[test]
    fn the_working_set_leaves_out_inactive_files() {
        let text =
            "MemTotal: 100 kB\nMemFree: 40 kB\nInactive(file): 10 kB\nAnonPages: 5 kB\nSwapTotal: 0 kB\n";
        let memory = memory(text).unwrap();
        assert_eq!(
            (memory.total, memory.usage, memory.working_set, memory.rss),
            (102_400, 61_440, 51_200, 5120)
        );
    }

    #[test]
    fn other_tables() {
        assert_eq!(page_faults("pgfault 7\npgmajfault 3\n"), (Some(7), Some(3)));
        assert_eq!(processes("0.00 0.01 0.05 1/234 5678\n"), Some(234));
        assert_eq!(
            default_interface("Iface\tDestination\neth0\t0000FEA9\neth1\t00000000\tx\n"),
            Some("eth1")
        );
        let dev = "Inter-| x\n face | y\n    lo: 1 0 0\n  eth0: 10 1 2 0 0 0 0 0 20 1 3 0\nveth1: 1 1 1\n";
        let got = interfaces(dev);
        assert_eq!(got.len(), 1);
        assert_eq!(
            (
                got[0].rx_bytes,
                got[0].rx_errors,
                got[0].tx_bytes,
                got[0].tx_errors
            ),
            (10, 2, 20, 3)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[a-zA-Z0-9: ./()\n\t]*") {
            let _ = (cpu_nanoseconds(&text), memory(&text), page_faults(&text), interfaces(&text));
            let _ = (default_interface(&text), processes(&text));
        }
    }
}
