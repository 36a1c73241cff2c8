//! What a command answers, on standard output.

use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};

/// Writes `text` as it is. A reader that has seen enough, as `head` has, is no failure.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}
