//! Reads a log file, and waits for more of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use inotify::{Inotify, WatchMask};
use tokio::sync::mpsc;

use super::format::Formatter;
use super::options::Options;
use super::tail;

/// Bytes read, and sent, at a time.
const CHUNK: usize = 16 * 1024;
/// How often a quiet container is looked at: its end makes no sound in its log.
const LOOK: Duration = Duration::from_secs(1);
/// A line longer than this is given up on; runtimes cut theirs at 16 KiB.
const LONGEST: usize = 1 << 20;

/// An open log.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    formatter: Formatter,
    follow: bool,
    /// The start of a line whose end is not written yet.
    pending: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path` where the wanted part begins.
    ///
    /// # Errors
    /// If it cannot be opened or read.
    pub(super) fn open(path: &Path, options: &Options) -> io::Result<Reader> {
        // A link in /var/log/containers, or of an older runtime.
        let path = path.canonicalize()?;
        let mut file = File::open(&path)?;
        if let Some(lines) = options.tail {
            let size = file.metadata()?.len();
            let start = tail::start(size, lines, |from, buffer| file.read_exact_at(buffer, from))?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(start))?;
        }
        Ok(Reader {
            path,
            file,
            formatter: Formatter::new(options),
            follow: options.follow,
            pending: Vec::new(),
        })
    }

    /// Sends what is wanted to `out`, until all is sent, or the container has ended, or nobody listens.
    ///
    /// # Errors
    /// If the log can no longer be read.
    pub(super) async fn run(
        mut self,
        out: &mpsc::Sender<io::Result<Vec<u8>>>,
        is_running: impl Fn() -> bool,
    ) -> io::Result<()> {
        let mut changes = None;
        loop {
            // Asked before reading: what a container writes last, it writes before it ends.
            let running = self.follow && is_running();
            if !self.drain(out).await? || self.formatter.is_done() {
                return Ok(());
            }
            if !running {
                return self.rest(out).await;
            }
            let Some(watch) = &mut changes else {
                changes = Some(self.watch()?);
                // Something may have been written before the watch was there.
                continue;
            };
            tokio::select! {
                _ = watch.next() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = out.closed() => return Ok(()),
            }
            self.reopen()?;
        }
    }

    fn watch(&self) -> io::Result<inotify::EventStream<[u8; 1024]>> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let inotify = Inotify::init()?;
        inotify.watches().add(
            folder,
            WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO,
        )?;
        inotify.into_event_stream([0; 1024])
    }

    /// After a rotation the log goes on in a new file of the same name. The old one has been read to its end: the
    /// runtime opens the new one before it writes there, and we see that only after we drained the old one again.
    fn reopen(&mut self) -> io::Result<()> {
        let known = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(now) if (now.dev(), now.ino()) != (known.dev(), known.ino()) => {
                let mut left = Vec::new();
                self.file.read_to_end(&mut left)?;
                self.pending.extend_from_slice(&left);
                self.file = File::open(&self.path)?;
                Ok(())
            }
            // Between the two.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends all whole lines up to the end of the file; false if nobody listens.
    async fn drain(&mut self, out: &mpsc::Sender<io::Result<Vec<u8>>>) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.file.read(&mut chunk)?;
            self.pending
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            let text = self.format();
            if !text.is_empty() && out.send(Ok(text)).await.is_err() {
                return Ok(false);
            }
            if read == 0 || self.formatter.is_done() {
                return Ok(true);
            }
        }
    }

    /// Formats the whole lines of what was read.
    fn format(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut taken = 0;
        for line in self.pending.split_inclusive(|byte| *byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            self.formatter.add(line, &mut text);
            taken += line.len();
        }
        self.pending.drain(..taken);
        if self.pending.len() > LONGEST {
            self.pending.clear();
        }
        text
    }

    /// At the very end, a line without its newline counts too.
    async fn rest(&mut self, out: &mpsc::Sender<io::Result<Vec<u8>>>) -> io::Result<()> {
        let mut text = Vec::new();
        if !self.pending.is_empty() {
            self.formatter.add(&std::mem::take(&mut self.pending), &mut text);
        }
        if !text.is_empty() {
            // Nobody listens: nothing is lost.
            let _ = out.send(Ok(text)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
