//! What a person sees while a rig comes up: a line a step, with the seconds since the start.

use std::time::Instant;

/// Prints to standard error, or keeps quiet.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    since: Instant,
    quiet: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            quiet: false,
        }
    }

    pub fn quiet() -> Self {
        Self {
            since: Instant::now(),
            quiet: true,
        }
    }

    pub fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{:>6.1}s  {text}", self.since.elapsed().as_secs_f64());
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
