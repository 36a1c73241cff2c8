//! Programs that end with the test that started them, however that ends.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Runs a program, and kills it when its standard input closes: when we drop it, or die.
const KEEPER: &str = r#"log=$1; shift; "$@" </dev/null & pid=$!; echo $pid >"$log.pid"; trap '' INT TERM; cat >/dev/null; kill -KILL $pid 2>/dev/null; wait $pid; [ -z "$CLEAN" ] || rm -rf "$CLEAN""#;

/// A program that runs until this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    keeper: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; what it prints goes to `NAME.log` in `folder`.
    pub fn start<S: AsRef<std::ffi::OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        folder: &Path,
    ) -> std::io::Result<Self> {
        Self::start_and_clean(program, args, folder, None)
    }

    /// As [`start`](Self::start); the folder `clean` goes when the program has ended.
    pub(super) fn start_and_clean<S: AsRef<std::ffi::OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        folder: &Path,
        clean: Option<&Path>,
    ) -> std::io::Result<Self> {
        let name = program
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let log = folder.join(format!("{name}.log"));
        // An earlier one's, if there was one of that name.
        let _ = std::fs::remove_file(format!("{}.pid", log.display()));
        let out = File::create(&log)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&log)
            .arg(program)
            .args(args)
            .current_dir(folder)
            .env("CLEAN", clean.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let leash = keeper.stdin.take();
        Ok(Process {
            name,
            keeper,
            leash,
            log,
        })
    }

    /// Kills the program at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.leash = None;
        let _ = self.keeper.wait();
    }

    /// Its process id, once it has one.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(format!("{}.pid", self.log.display()))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Whether it runs, as far as we know.
    pub fn is_alive(&self) -> bool {
        // "PID (NAME) STATE ...": a zombie has ended.
        self.pid().is_none_or(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                stat.rsplit(") ")
                    .next()
                    .is_some_and(|rest| !rest.starts_with('Z'))
            })
        })
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "{} said last:\n{}",
            self.name,
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    }

    /// Whether it printed `text` so far.
    pub fn said(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A TCP port on loopback that nobody listens on now.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Path::new("/bin/sleep"), ["1000"], folder.path()).unwrap();
        let pid = loop {
            match process.pid() {
                Some(pid) => break pid.to_string(),
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        assert!(process.is_alive());
        assert!(Path::new("/proc").join(&pid).exists());
        drop(process);
        assert!(!Path::new("/proc").join(&pid).exists());
    }
}
