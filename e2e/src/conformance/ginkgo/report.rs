//! What a process tells of a test that it ran; only what we use of it.

use std::fmt::Write as _;

use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum State {
    Passed,
    Skipped,
    Pending,
    /// The suite was told to break off.
    Aborted,
    Interrupted,
    #[serde(other)]
    Failed,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Location {
    file_name: String,
    line_number: u32,
    full_stack_trace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Failure {
    message: String,
    forwarded_panic: String,
    location: Location,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Additional {
    failure: Failure,
}

/// `types.SpecReport`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct SpecReport {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    pub(in super::super) state: State,
    /// Nanoseconds.
    run_time: u64,
    failure: Option<Failure>,
    #[serde(default)]
    captured_ginkgo_writer_output: String,
    #[serde(default)]
    additional_failures: Vec<Additional>,
}

impl SpecReport {
    /// Whether it is of a test, and not of what goes before or after all of them.
    pub(in super::super) fn is_of_test(&self) -> bool {
        self.leaf_node_type == "It"
    }

    /// The full name of the test.
    pub(in super::super) fn name(&self) -> String {
        let containers = self.container_hierarchy_texts.iter().flatten();
        let texts: Vec<&str> = containers
            .chain([&self.leaf_node_text])
            .filter(|text| !text.is_empty())
            .map(String::as_str)
            .collect();
        texts.join(" ")
    }

    pub(in super::super) fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.run_time).as_secs_f64()
    }

    /// Why it failed, or why it does not apply.
    pub(in super::super) fn message(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let panic = &failure.forwarded_panic;
        let message = failure.message.trim();
        Some(if panic.is_empty() {
            message.to_owned()
        } else {
            format!("{message}: {panic}")
        })
    }

    /// Everything that is told of a failure.
    pub(in super::super) fn log(&self) -> String {
        let mut log = format!(
            "{}\n{:?} after {:.1} s\n",
            self.name(),
            self.state,
            self.seconds()
        );
        let additional = self
            .additional_failures
            .iter()
            .map(|additional| &additional.failure);
        for failure in self.failure.iter().chain(additional) {
            let at = &failure.location;
            let _ = write!(
                log,
                "\n{}\n{}\nat {}:{}\n{}\n",
                failure.message, failure.forwarded_panic, at.file_name, at.line_number, at.full_stack_trace
            );
        }
        let _ = write!(log, "\n---\n{}\n", self.captured_ginkgo_writer_output);
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_its_test_and_why_it_failed() {
        let report: SpecReport = serde_json::from_str(
            r#"{"ContainerHierarchyTexts":["[sig-node] Pods","","[NodeConformance]"],"ContainerHierarchyLocations":[{}],
            "LeafNodeType":"It","LeafNodeText":"should be [Conformance]","State":"timedout","RunTime":1500000000,
            "Failure":{"Message":"Timed out ","Location":{"FileName":"pods.go","LineNumber":7},"FailureNodeContext":"leaf-node"},
            "CapturedGinkgoWriterOutput":"STEP: waiting"}"#,
        )
        .unwrap();
        assert!(report.is_of_test());
        assert_eq!(
            report.name(),
            "[sig-node] Pods [NodeConformance] should be [Conformance]"
        );
        assert_eq!(report.state, State::Failed);
        assert!((report.seconds() - 1.5).abs() < 1e-9);
        assert_eq!(report.message().as_deref(), Some("Timed out"));
        let log = report.log();
        assert!(
            log.contains("at pods.go:7") && log.contains("STEP: waiting"),
            "{log}"
        );
    }

    #[test]
    fn what_goes_before_all_tests_is_no_test() {
        let report: SpecReport = serde_json::from_str(
            r#"{"ContainerHierarchyTexts":null,"LeafNodeType":"SynchronizedBeforeSuite","LeafNodeText":"","State":"passed","RunTime":0}"#,
        )
        .unwrap();
        assert!(!report.is_of_test());
        assert_eq!((report.name(), report.message()), (String::new(), None));
    }
}
