//! What a person sees meanwhile: a line a failure, and one that says how far it is.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) left: usize,
    pub(super) running: usize,
    /// Seconds that it has lasted.
    pub(super) spent: f64,
    /// Seconds that it is likely to last yet.
    pub(super) to_go: f64,
}

impl Standing {
    pub(super) fn line(&self) -> String {
        let skipped = if self.skipped > 0 {
            format!(", {} skipped", self.skipped)
        } else {
            String::new()
        };
        format!(
            "{} passed, {} failed{skipped}, {} left, {} of them running; {} so far, about {} to go",
            self.passed,
            self.failed,
            self.left,
            self.running,
            clock(self.spent),
            clock(self.to_go)
        )
    }
}

/// `4:07`.
fn clock(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Standard error: on a terminal one line that changes, else one every so often.
pub(super) struct Show {
    live: bool,
    last: Option<Instant>,
}

const CLEAR: &str = "\r\x1b[2K";
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(20);

impl Show {
    pub(super) fn new() -> Self {
        Self {
            live: std::io::stderr().is_terminal(),
            last: None,
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        let clear = if self.live { CLEAR } else { "" };
        let _ = writeln!(std::io::stderr().lock(), "{clear}{text}");
    }

    pub(super) fn standing(&mut self, standing: &Standing) {
        let pause = if self.live { OFTEN } else { SELDOM };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let line = standing.line();
        let mut out = std::io::stderr().lock();
        let _ = if self.live {
            write!(out, "{CLEAR}{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// Ends the line that changes.
    pub(super) fn end(&self) {
        if self.live {
            let _ = write!(std::io::stderr().lock(), "{CLEAR}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let standing = Standing {
            passed: 12,
            failed: 1,
            left: 20,
            running: 10,
            spent: 61.4,
            to_go: 599.0,
            ..Standing::default()
        };
        assert_eq!(
            standing.line(),
            "12 passed, 1 failed, 20 left, 10 of them running; 1:01 so far, about 9:59 to go"
        );
    }
}
