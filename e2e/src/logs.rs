//! Log files of a rig's programs: appended to over restarts, quoted when something fails.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

/// How much of a log's end is read to quote its last lines.
const END: u64 = 64 * 1024;

/// Opens a log to append to.
pub fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

/// Adds a line of the rig's own.
pub fn note(path: &Path, text: &str) {
    if let Ok(mut file) = open(path) {
        let _ = writeln!(file, "--- rig: {text}");
    }
}

/// Longest quoted line, in characters.
const WIDTH: usize = 240;

/// The last `lines` lines, each behind a bar and cut where it is very long.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = end_of(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = all.iter().skip(all.len().saturating_sub(lines));
    last.map(|line| format!("    | {}\n", line.chars().take(WIDTH).collect::<String>()))
        .collect()
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_and_an_absent_log_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/x.log");
        assert_eq!(tail(&log, 2), "");
        let mut file = open(&log).unwrap();
        writeln!(file, "one\ntwo\nthree").unwrap();
        assert_eq!(tail(&log, 2), "    | two\n    | three\n");
        note(&log, "four");
        assert_eq!(tail(&log, 1), "    | --- rig: four\n");
    }
}
