//! The task's probes: started when due, taken in when through.

use std::sync::Arc;

use futures::stream::FuturesUnordered;
use jiff::Timestamp;

use super::{Attempt, Stage, Worker};
use crate::pod::events::About;
use crate::pod::spec::PodExt as _;
use crate::probe::{self, Key, Outcome};
use crate::status;

impl Worker {
    /// Starts the probes that are due.
    pub(super) fn probe(&mut self, attempts: &mut FuturesUnordered<Attempt>) {
        let now = Timestamp::now();
        let (due, _) = self.probes.due(now);
        if due.is_empty() {
            return;
        }
        let ip = status::pod_ips(&self.seen, &self.pod, &self.shared.node.addresses.borrow())
            .first()
            .copied();
        for key in due {
            let Some((_, container)) = self.pod.container(&key.name) else {
                continue;
            };
            let Some(limit) = self.probes.begin(&key, now) else {
                continue;
            };
            let cri = self.shared.node.cri.clone();
            attempts.push(Box::pin(async move {
                let Some(probe) = key.kind.of(&container).cloned() else {
                    return (key, Outcome::Error(String::new()));
                };
                let target = probe::attempt::Target {
                    container: &container,
                    id: &key.id,
                    pod_ip: ip,
                };
                let outcome = probe::attempt::attempt(&cri, &probe, target, limit).await;
                (key, outcome)
            }));
        }
    }

    pub(super) fn probed(&mut self, key: &Key, outcome: &Outcome) {
        let word = key.kind.word();
        let pod = Arc::clone(&self.pod);
        if let Some((kind, spec)) = pod.container(&key.name).filter(|_| !self.probes.is_extra(key)) {
            let shared = Arc::clone(&self.shared);
            let about = About::pod(&shared.node.events, &pod).container(kind, &spec.name);
            match outcome {
                Outcome::Success(None) => {}
                Outcome::Success(Some(warning)) => {
                    about.warning("ProbeWarning", format!("{word} probe warning: {warning}"))
                }
                Outcome::Failure(why) => about.warning("Unhealthy", format!("{word} probe failed: {why}")),
                Outcome::Error(why) => about.warning(
                    "Unhealthy",
                    format!("{word} probe errored and resulted in failure state: {why}"),
                ),
            }
        }
        if self.probes.absorb(key, outcome, Timestamp::now()) {
            self.dirty |= self.stage == Stage::Running;
            self.compute();
        }
    }
}
