//! Where and when a benchmark ran.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::places;

/// The machine, the commit and the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub cores: usize,
    pub processor: String,
    pub memory_mebibytes: u64,
    pub kernel: String,
    /// Short name of the checkout's commit; with a plus if files differ from it.
    pub commit: String,
    /// UTC, to the minute.
    pub date: String,
}

impl Facts {
    /// What can be found out; the rest is empty.
    pub fn gather() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            memory_mebibytes: kibibytes(&read("/proc/meminfo"), "MemTotal") / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
        }
    }

    /// A line of the page.
    pub fn line(&self) -> String {
        format!(
            "Commit {}, {} UTC; {} cores ({}), {} MiB, Linux {}.",
            self.commit, self.date, self.cores, self.processor, self.memory_mebibytes, self.kernel
        )
    }
}

/// The value of `NAME : value` or `NAME: value`.
fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let value = field(text, name);
    value.trim_end_matches("kB").trim().parse().unwrap_or(0)
}

fn commit() -> String {
    let Ok(checkout) = places::checkout() else {
        return "unknown".to_owned();
    };
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&checkout)
            .args(args)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(name) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // What a benchmark itself writes is no change.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":!docs"]);
    let mark = if changed.is_some_and(|changed| !changed.is_empty()) {
        "+"
    } else {
        ""
    };
    format!("{name}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_the_kernel_writes_them() {
        assert_eq!(field("a\t: 1\nmodel name\t: A B: C\n", "model name"), "A B: C");
        assert_eq!(kibibytes("MemTotal:       24576 kB\n", "MemTotal"), 24_576);
        assert_eq!(kibibytes("", "MemTotal"), 0);
    }
}
