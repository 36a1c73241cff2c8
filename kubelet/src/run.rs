//! Starts the parts and waits for a signal.

use anyhow::Result;

/// The program's entry.
///
/// # Errors
/// When flags or configuration are wrong, or a part that is needed cannot start.
pub fn main() -> Result<()> {
    Ok(())
}
