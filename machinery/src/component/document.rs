//! Pages of documentation that are written by the program they document: a test compares the two.

use std::path::Path;

/// The variable that makes [`check`] write the page instead of comparing it.
pub const WRITE: &str = "STEERSMAN_WRITE_DOCS";

/// Compares the page at `path` with `text`, or writes it where [`WRITE`] is set.
///
/// # Errors
/// The page is not as it should be; the text says how to write it anew.
pub fn check(path: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()));
    }
    match std::fs::read_to_string(path) {
        Ok(found) if found == text => Ok(()),
        Ok(_) => Err(format!(
            "{} is out of date: run the test with {WRITE}=1",
            path.display()
        )),
        Err(error) => Err(format!(
            "reading {}: {error}: run the test with {WRITE}=1",
            path.display()
        )),
    }
}
