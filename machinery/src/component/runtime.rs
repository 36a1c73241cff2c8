//! From `main` to an async body and back to an exit code.

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

use super::flags::Exit;
use super::memory::{self, GiveBack};

/// Runs `body` to its end on a runtime of its own, whose one thread does everything: the smallest footprint.
///
/// # Errors
/// The runtime could not be made, or the body failed.
pub fn block_on<F: Future<Output = anyhow::Result<()>>>(body: F) -> anyhow::Result<()> {
    memory::one_heap();
    let memory = GiveBack::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || memory.idle())
        .build()?;
    let result = runtime.block_on(body);
    // Tasks that still hang on a file or a lookup must not hold the process up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// The exit code of a component, with its last words on standard error.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(exit) = error.downcast_ref::<Exit>() {
        exit.print();
        return ExitCode::from(exit.code);
    }
    // Where these words go may be full or gone.
    let _ = writeln!(std::io::stderr(), "error: {}", told(&error));
    ExitCode::FAILURE
}

/// An error with its causes, each told once: many say their own cause already.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading f: {source}")]
        struct Says {
            source: std::io::Error,
        }
        let cause = || std::io::Error::other("no such file");
        let says = anyhow::Error::new(Says { source: cause() });
        let silent = anyhow::Error::new(cause()).context("reading f");
        assert_eq!(told(&says), "reading f: no such file");
        assert_eq!(told(&silent), "reading f: no such file");
        let outer: anyhow::Result<()> = Err(says);
        assert_eq!(
            told(&outer.context("starting").unwrap_err()),
            "starting: reading f: no such file"
        );
    }
}
