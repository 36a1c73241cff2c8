//! Between the protocol and the run: hands out work at once, and tells the run what came back.

use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc::UnboundedSender;

use super::ginkgo::{Desk, SpecReport, State};
use super::queue::{Process, Queue, Verdict, Work};

/// What the run is told.
pub(super) enum Event {
    /// A test ran; the result stands, or it will be run again.
    Ran {
        report: Box<SpecReport>,
        verdict: Verdict,
    },
    /// What goes before all tests failed.
    NotPrepared(String),
    /// Something was not understood.
    Broken(anyhow::Error),
    Started(String),
    Ended(Process, Result<ExitStatus>),
}

pub(super) struct Floor {
    queue: Mutex<Queue>,
    events: UnboundedSender<Event>,
}

impl Floor {
    pub(super) fn new(queue: Queue, events: UnboundedSender<Event>) -> Self {
        Self {
            queue: Mutex::new(queue),
            events,
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, event: Event) {
        // The run that nobody listens for any more is over.
        let _ = self.events.send(event);
    }

    fn judge(&self, report: SpecReport) -> Option<Event> {
        if !report.is_of_test() {
            let failed = report.state == State::Failed;
            return failed.then(|| Event::NotPrepared(report.log()));
        }
        let verdict = match report.state {
            // It has no result: it is run when the run goes on.
            State::Aborted | State::Interrupted | State::Pending => Verdict::Unwanted,
            State::Skipped if report.message().is_none() => Verdict::Unwanted,
            State::Passed | State::Skipped => self.queue().ran(&report.name(), true),
            State::Failed => self.queue().ran(&report.name(), false),
        };
        if verdict == Verdict::Unwanted {
            return stray(&report);
        }
        Some(Event::Ran {
            report: Box::new(report),
            verdict,
        })
    }
}

/// A test that ran and that nobody wanted: the suite's order is not what we think.
fn stray(report: &SpecReport) -> Option<Event> {
    let ran = matches!(report.state, State::Passed | State::Failed);
    ran.then(|| {
        let name = report.name();
        Event::Broken(anyhow!(
            "the suite ran {name}, which it was not asked for: its order is another than catalogue.json says; remove \
             that file from the folder of results"
        ))
    })
}

impl Desk for Floor {
    fn next(&self, process: Process) -> Work {
        let mut queue = self.queue();
        let work = queue.next(process);
        if matches!(work, Work::Unit(_)) {
            let mine = queue.running().filter(|(runner, _)| *runner == process);
            for (_, test) in mine {
                self.tell(Event::Started(test.to_owned()));
            }
        }
        work
    }

    fn ran(&self, _: Process, report: Result<SpecReport>) {
        let event = match report {
            Ok(report) => self.judge(report),
            Err(error) => Some(Event::Broken(error)),
        };
        if let Some(event) = event {
            self.tell(event);
        }
    }
}
