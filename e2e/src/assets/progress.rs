//! What a person sees while assets are made: a first start may take a quarter of an hour.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A change in the making of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Another process is making it; we wait for that.
    Waiting,
    /// It is being made; `hint` says how long that takes from empty caches.
    Started {
        hint: &'a str,
    },
    /// A line of the program that makes it.
    At {
        detail: &'a str,
    },
    Done {
        took: Duration,
    },
}

/// Who is told. `what` is the name of a program, an image or a tree.
pub trait Progress: Send + Sync {
    fn show(&self, what: &str, step: Step<'_>);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn show(&self, _: &str, _: Step<'_>) {}
}

/// Standard error: one line an asset, and on a terminal a line below it that shows what happens now.
#[derive(Debug)]
pub struct Terminal {
    live: bool,
    last: Mutex<Option<Instant>>,
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal {
            live: std::io::stderr().is_terminal(),
            last: Mutex::new(None),
        }
    }
}

const CLEAR: &str = "\r\x1b[2K";

impl Progress for Terminal {
    fn show(&self, what: &str, step: Step<'_>) {
        let clear = if self.live { CLEAR } else { "" };
        let line = match step {
            Step::Waiting => format!("{clear}  {what}: another process is making it, waiting\n"),
            Step::Started { hint } => format!("{clear}  {what}: making it ({hint})\n"),
            Step::Done { took } => format!("{clear}  {what}: ready after {:.0} s\n", took.as_secs_f64()),
            Step::At { detail } => {
                let mut last = self.last.lock();
                if !self.live || last.is_some_and(|at| at.elapsed() < Duration::from_millis(100)) {
                    return;
                }
                *last = Some(Instant::now());
                let detail: String = detail.chars().filter(|c| !c.is_control()).take(70).collect();
                format!("{clear}    {detail}")
            }
        };
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}
