use std::io;
use std::path::{Path, PathBuf};

/// Why an asset could not be made; its text says on what and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {tried} {}: {source}", .path.display())]
    Io {
        tried: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("cannot start `{program}` to make {what}: {source}; {advice}")]
    Start {
        what: String,
        program: String,
        source: io::Error,
        advice: &'static str,
    },

    #[error("making {what} failed: `{program}` {outcome}; its log is {}, its last lines:\n{tail}", .log.display())]
    Failed {
        what: String,
        program: String,
        outcome: String,
        log: PathBuf,
        tail: String,
    },

    #[error("this machine lacks something that {stages} needs:\n{report}")]
    Packages { stages: String, report: String },

    #[error("{} is linked to shared libraries, and its image has none", .path.display())]
    NotStatic { path: PathBuf },

    #[error("{what} was not among the assets asked for")]
    NotAsked { what: &'static str },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives an I/O error the verb and the path that its own text lacks.
pub(super) trait At<T> {
    fn at(self, tried: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, tried: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            tried,
            path: path.to_owned(),
            source,
        })
    }
}
