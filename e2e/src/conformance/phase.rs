//! One part of a run: tests that run beside each other, or those that run alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use super::catalogue::{Test, sig};
use super::estimate;
use super::floor::{Event, Floor};
use super::ginkgo::{Desk, Server, SpecReport, State};
use super::process::{self, Share, Site, Suite};
use super::progress::{Show, Standing};
use super::queue::{Process, Queue, Verdict};
use super::record::{Journal, Outcome, Record};
use super::room;
use super::summary::Tally;
use crate::logs;

/// Processes that may die before the run gives up.
const DEATHS: u32 = 12;
/// How long tests may clean up after an interrupt.
const GRACE: Duration = Duration::from_secs(60);

/// What all parts of a run share.
pub(super) struct Run {
    pub(super) suite: Suite,
    pub(super) site: Site,
    pub(super) processes: u32,
    pub(super) retries: u32,
    pub(super) journal: Journal,
    /// Folder of results, and that of the logs in it.
    pub(super) folder: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) commit: String,
    pub(super) measured: BTreeMap<String, f64>,
    /// Tests of the parts that come after this one.
    pub(super) after: Vec<String>,
    pub(super) since: Instant,
    pub(super) show: Show,
    pub(super) end: Box<dyn Fn() -> Result<()>>,
    /// Folders on the disks that are written to.
    pub(super) disks: Vec<PathBuf>,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Interrupted,
}

struct Phase<'a> {
    run: &'a mut Run,
    floor: Arc<Floor>,
    server: Server,
    alone: Vec<Test>,
    total: u32,
    /// Since when a test has been running, by name.
    started: BTreeMap<String, Instant>,
    alive: u32,
    deaths: u32,
    interrupted: Option<Instant>,
}

impl Run {
    /// Runs tests that are handed out, on several processes.
    pub(super) async fn parallel(&mut self, tests: &[Test]) -> Result<Ending> {
        let processes = self.processes.min(u32::try_from(tests.len()).unwrap_or(u32::MAX));
        self.phase(tests, Vec::new(), processes.max(1)).await
    }

    /// Runs tests one after the other; those that fail again, as often as they may.
    pub(super) async fn serial(&mut self, tests: &[Test]) -> Result<Ending> {
        let mut left = tests.to_vec();
        for _ in 0..=self.retries {
            let before = self.journal.records().len();
            let ending = self.phase(&left, left.clone(), 1).await?;
            let passed = self.journal.records().get(before..).unwrap_or_default();
            left.retain(|test| {
                !passed
                    .iter()
                    .any(|record| record.name == test.name && record.passed())
            });
            if ending == Ending::Interrupted || left.is_empty() {
                return Ok(ending);
            }
        }
        Ok(Ending::Done)
    }

    async fn phase(&mut self, tests: &[Test], alone: Vec<Test>, processes: u32) -> Result<Ending> {
        let (events, mut told) = unbounded_channel();
        let retries = if alone.is_empty() { self.retries } else { 0 };
        let floor = Arc::new(Floor::new(Queue::new(tests, retries), events));
        let desk: Arc<dyn Desk> = Arc::<Floor>::clone(&floor);
        let server = Server::start(Some(self.site.machine), desk)?;
        let mut phase = Phase {
            run: self,
            floor,
            server,
            alone,
            // A process that believes to be the only one would not ask.
            total: processes.max(2),
            started: BTreeMap::new(),
            alive: 0,
            deaths: 0,
            interrupted: None,
        };
        for process in 1..=processes {
            phase.start(process)?;
        }
        let outcome = phase.follow(&mut told).await;
        if outcome.is_err() {
            (phase.run.end)()?;
        }
        phase.run.show.end();
        outcome
    }
}

impl Phase<'_> {
    fn start(&mut self, process: Process) -> Result<()> {
        let address = self.server.address(process);
        let share = if self.alone.is_empty() {
            Share::Handed
        } else {
            Share::Alone(&self.alone)
        };
        let argv = self.run.suite.argv(process, self.total, &address, share);
        let log = self.process_log(process);
        logs::note(&log, &format!("starting {}", argv.join(" ")));
        let floor = Arc::clone(&self.floor);
        process::start(&self.run.site, &argv, &log, move |end| {
            floor.tell(Event::Ended(process, end));
        })?;
        self.alive += 1;
        Ok(())
    }

    fn process_log(&self, process: Process) -> PathBuf {
        self.run.logs.join(format!("e2e.test-{process}.log"))
    }

    async fn follow(&mut self, told: &mut tokio::sync::mpsc::UnboundedReceiver<Event>) -> Result<Ending> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        while self.alive > 0 {
            tokio::select! {
                Some(event) = told.recv() => self.hear(event)?,
                _ = interrupt.recv() => self.interrupt()?,
                _ = terminate.recv() => self.interrupt()?,
                _ = tick.tick() => {
                    self.run.disks.iter().try_for_each(|folder| room::check(folder))?;
                    let standing = self.standing();
                    self.run.show.standing(&standing);
                    if self.interrupted.is_some_and(|since| since.elapsed() > GRACE) {
                        (self.run.end)()?;
                    }
                }
            }
        }
        Ok(if self.interrupted.is_some() {
            Ending::Interrupted
        } else {
            Ending::Done
        })
    }

    /// The first time, tests clean up and end; the second time, they are ended.
    fn interrupt(&mut self) -> Result<()> {
        if self.interrupted.is_some() {
            return (self.run.end)();
        }
        self.interrupted = Some(Instant::now());
        self.run
            .show
            .say("ending the tests that run; once more ends them at once");
        self.floor.queue().stop();
        self.server.abort();
        Ok(())
    }

    fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Started(test) => {
                self.started.insert(test, Instant::now());
            }
            Event::Ran { report, verdict } => self.ran(&report, verdict)?,
            Event::NotPrepared(log) if self.interrupted.is_none() => {
                bail!("what the suite does before its tests failed:\n{log}")
            }
            Event::NotPrepared(_) => {}
            Event::Broken(error) => return Err(error),
            Event::Ended(process, end) => self.ended(process, end)?,
        }
        Ok(())
    }

    fn ran(&mut self, report: &SpecReport, verdict: Verdict) -> Result<()> {
        let name = report.name();
        self.started.remove(&name);
        let state = match report.state {
            State::Passed => Outcome::Passed,
            State::Skipped => Outcome::Skipped,
            _ => Outcome::Failed,
        };
        let log = if state == Outcome::Failed {
            let log = self.run.logs.join(log_name(&name));
            crate::state::replace(&log, report.log().as_bytes())?;
            Some(log)
        } else {
            None
        };
        match verdict {
            Verdict::Final { attempts } => {
                let record = self.record(
                    &name,
                    state,
                    report.seconds(),
                    attempts,
                    report.message(),
                    log.as_deref(),
                );
                self.done(record)
            }
            _ => {
                self.run.show.say(&format!("again:  {name}"));
                Ok(())
            }
        }
    }

    fn record(
        &self,
        name: &str,
        state: Outcome,
        seconds: f64,
        attempts: u32,
        message: Option<String>,
        log: Option<&Path>,
    ) -> Record {
        let relative = log.map(|log| {
            log.strip_prefix(&self.run.folder)
                .unwrap_or(log)
                .display()
                .to_string()
        });
        Record {
            name: name.to_owned(),
            sig: sig(name).to_owned(),
            state,
            seconds: (seconds * 10.0).round() / 10.0,
            attempts,
            message: message.filter(|_| state != Outcome::Passed),
            log: relative,
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: self.run.commit.clone(),
        }
    }

    fn done(&mut self, record: Record) -> Result<()> {
        if record.state == Outcome::Failed {
            self.run
                .show
                .say(&format!("failed: {} ({:.0} s)", record.name, record.seconds));
        }
        self.run.journal.add(record)
    }

    fn ended(&mut self, process: Process, end: Result<std::process::ExitStatus>) -> Result<()> {
        self.alive -= 1;
        self.server.gone(process);
        let end = end?;
        let lost = self.floor.queue().gone(process);
        let alone =
            !self.alone.is_empty() && self.floor.queue().open().next().is_some() && end.code().is_none();
        if (lost.is_empty() && !alone) || self.interrupted.is_some() {
            return Ok(());
        }
        let log = self.process_log(process);
        for name in lost {
            let verdict = self.floor.queue().ran(&name, false);
            if let Verdict::Final { attempts } = verdict {
                let message = format!(
                    "e2e.test ended while it ran this test ({end}):\n{}",
                    logs::tail(&log, 20)
                );
                let seconds = self
                    .started
                    .remove(&name)
                    .map_or(0.0, |since| since.elapsed().as_secs_f64());
                let record = self.record(
                    &name,
                    Outcome::Failed,
                    seconds,
                    attempts,
                    Some(message),
                    Some(&log),
                );
                self.done(record)?;
            }
        }
        self.deaths += 1;
        if self.deaths > DEATHS {
            bail!(
                "processes of the suite keep dying ({end}); the last lines of {}:\n{}",
                log.display(),
                logs::tail(&log, 12)
            );
        }
        if self.floor.queue().has_work() {
            self.start(process)?;
        }
        Ok(())
    }

    fn standing(&self) -> Standing {
        let queue = self.floor.queue();
        let seconds = |name: &str| estimate::seconds(name, &self.run.measured);
        let running = self
            .started
            .iter()
            .map(|(name, since)| (seconds(name) - since.elapsed().as_secs_f64()).max(5.0));
        let processes = usize::try_from(self.alive).unwrap_or(1);
        let here = estimate::left(queue.waiting().map(seconds), running, processes);
        let after: f64 = self.run.after.iter().map(|name| seconds(name)).sum();
        let tally = Tally::of(self.run.journal.records());
        Standing {
            passed: tally.passed,
            failed: tally.failed,
            skipped: tally.skipped,
            left: queue.open().count() + self.run.after.len(),
            running: self.started.len(),
            spent: self.run.since.elapsed().as_secs_f64(),
            to_go: here + after,
        }
    }
}

/// A file name that a person recognises, and that no other test has.
fn log_name(test: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let plain: String = test
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let short: String = words.join("-").chars().take(100).collect();
    let digest = Sha256::digest(test);
    let mark: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{mark}.log", short.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_have_names_that_are_short_and_their_own() {
        let long = format!("[sig-node] Pods {}", "x/".repeat(200));
        let name = log_name(&long);
        assert!(
            name.starts_with("sig-node-Pods-x-x") && name.len() < 120,
            "{name}"
        );
        assert_ne!(name, log_name(&format!("{long} ")));
    }
}
