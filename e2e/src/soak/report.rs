//! What a soak cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::census::Census;

/// Counts of a soak; all but the first four ought to be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    /// How often each kind of step was taken: `kubelet swapped`, `proxy killed`, ...
    pub steps: BTreeMap<String, u32>,
    pub answers: u64,
    pub jobs: u32,
    pub failed_requests: Vec<String>,
    /// Containers that were to stay and did not, with what became of them.
    pub restarted: Vec<String>,
    /// Objects that did not get to the state asked for.
    pub lost: Vec<String>,
    /// Steps that did not end as they should.
    pub broken_steps: Vec<String>,
    /// What there is more of on each node than before.
    pub leaks: BTreeMap<String, Census>,
}

impl Report {
    /// Whether nothing was lost, restarted, failed or left behind.
    pub fn clean(&self) -> bool {
        self.failed_requests.is_empty()
            && self.restarted.is_empty()
            && self.lost.is_empty()
            && self.broken_steps.is_empty()
            && self.leaks.is_empty()
    }

    /// The page.
    pub fn page(&self) -> String {
        let mut text = format!(
            "# Soak\n\n`rig swap --soak {}s --seed {}`: under a Deployment and a StatefulSet with steady requests to the Service of each, \
             a Deployment that keeps rolling, and Jobs, programs were swapped between ours and upstream's, or killed, at random.\n\n\
             | | count |\n|---|---|\n",
            self.seconds, self.seed
        );
        for (step, count) in &self.steps {
            let _ = writeln!(text, "| {step} | {count} |");
        }
        let leaked: u64 = self.leaks.values().flat_map(BTreeMap::values).sum();
        for (what, count) in [
            ("requests answered", self.answers),
            ("Jobs run", u64::from(self.jobs)),
            ("**requests failed**", self.failed_requests.len() as u64),
            ("**containers restarted**", self.restarted.len() as u64),
            ("**objects lost or unfinished**", self.lost.len() as u64),
            (
                "**swaps or restarts that failed**",
                self.broken_steps.len() as u64,
            ),
            (
                "**mounts, folders, cgroups, veths, sandboxes, rules left behind**",
                leaked,
            ),
        ] {
            let _ = writeln!(text, "| {what} | {count} |");
        }
        for (title, lines) in [
            ("Failed requests", &self.failed_requests),
            ("Restarted", &self.restarted),
            ("Lost or unfinished", &self.lost),
            ("Failed steps", &self.broken_steps),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n## {title}\n");
                lines.iter().take(50).for_each(|line| {
                    let _ = writeln!(text, "- {}", line.replace('\n', " "));
                });
            }
        }
        if !self.leaks.is_empty() {
            let _ = writeln!(text, "\n## Left behind\n");
            for (node, kinds) in &self.leaks {
                for (kind, count) in kinds {
                    let _ = writeln!(text, "- {node}: {count} {kind}");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_what_went_wrong_and_nothing_else() {
        let mut report = Report {
            seed: 7,
            seconds: 60,
            ..Report::default()
        };
        assert!(report.clean());
        assert!(!report.page().contains("## "), "{}", report.page());
        report.lost.push("job-1 has not succeeded".into());
        report
            .leaks
            .insert("n1".into(), Census::from([("veths".into(), 2)]));
        assert!(!report.clean());
        let page = report.page();
        assert!(
            page.contains("- job-1 has not succeeded") && page.contains("- n1: 2 veths"),
            "{page}"
        );
    }
}
