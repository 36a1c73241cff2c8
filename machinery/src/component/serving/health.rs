//! Health checks by name, with the answers of upstream's `healthz` package.

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::RwLock;

/// What a check says: nothing where all is well, otherwise why not.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one component.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<(String, Check)>>>,
}

impl Health {
    /// Adds a check; one of the same name is replaced.
    pub fn add(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let mut checks = self.checks.write();
        checks.retain(|(other, _)| other != name);
        checks.push((name.to_owned(), Arc::new(check)));
    }

    /// The answer to `/healthz` (or `endpoint`): whether all is well, and the text, which lists every
    /// check where one failed or `verbose` asks for it.
    #[must_use]
    pub fn answer(&self, endpoint: &str, verbose: bool, exclude: &[String]) -> (bool, String) {
        let mut text = String::from("[+]ping ok\n");
        let mut well = true;
        for (name, check) in self
            .checks
            .read()
            .iter()
            .filter(|(name, _)| !exclude.contains(name))
        {
            let _ = match check() {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(why) => {
                    well = false;
                    writeln!(text, "[-]{name} failed: {why}")
                }
            };
        }
        match (well, verbose) {
            (true, false) => (true, "ok".to_owned()),
            (true, true) => (true, format!("{text}{endpoint} check passed\n")),
            (false, _) => (false, format!("{text}{endpoint} check failed\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_listed() {
        let health = Health::default();
        assert_eq!(health.answer("healthz", false, &[]), (true, "ok".to_owned()));
        health.add("leader", || Err("lost".into()));
        let (well, text) = health.answer("healthz", false, &[]);
        assert!(
            !well && text.contains("[-]leader failed: lost\n") && text.contains("[+]ping ok\n"),
            "{text}"
        );
        assert!(health.answer("healthz", false, &["leader".into()]).0);
    }
}
