//! Counts the suite's tests: a process that skips every test is handed every unit in turn, and reports the tests in each.
//! Ginkgo's own dry run does not tell units.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

use super::catalogue::{Catalogue, Test, is_conformance, is_serial};
use super::ginkgo::{Desk, Server, SpecReport};
use super::process::{Suite, settings};
use super::queue::{Process, Work};

#[derive(Default)]
struct Census(Mutex<Count>);

#[derive(Default)]
struct Count {
    next: u32,
    tests: Vec<Test>,
    failed: Option<anyhow::Error>,
}

impl Census {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk for Census {
    fn next(&self, _: Process) -> Work {
        let mut count = self.count();
        count.next += 1;
        Work::Unit(count.next - 1)
    }

    fn ran(&self, _: Process, report: Result<SpecReport>) {
        let mut count = self.count();
        match report {
            Ok(report) => {
                let name = report.name();
                if report.is_of_test() && is_conformance(&name) {
                    // Behind the last unit come those that are in none.
                    let unit = (!is_serial(&name)).then(|| count.next - 1);
                    count.tests.push(Test { name, unit });
                }
            }
            Err(error) => count.failed = Some(error),
        }
    }
}

/// The catalogue in `file`, made with `program` if it is not there or of another build. Blocks.
pub(super) fn catalogue(program: &Path, nodes: u8, file: &Path) -> Result<Catalogue> {
    if let Some(catalogue) = Catalogue::read(file, program, &settings(nodes)) {
        return Ok(catalogue);
    }
    let census = Arc::new(Census::default());
    let server = Server::start(None, Arc::<Census>::clone(&census))?;
    let output = Suite::skipping(program, nodes, &server.address(1))
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    drop(server);
    if let Some(error) = census.count().failed.take() {
        return Err(error);
    }
    let tests = std::mem::take(&mut census.count().tests);
    if tests.is_empty() {
        let said = String::from_utf8_lossy(&output.stdout);
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        bail!(
            "{} ({}) told no test; the last that it said, in reverse:\n{}",
            program.display(),
            output.status,
            last.join("\n")
        );
    }
    let catalogue = Catalogue::new(program, &settings(nodes), tests)?;
    catalogue.write(file)?;
    Ok(catalogue)
}
