//! Jobs.

use super::{ConditionStatus, Template};
use machinery::arith::LabelSelector;
use machinery::meta::{Istr, Object, ObjectMeta, Time, null_default};
use serde::{Deserialize, Serialize};

/// A batch/v1 `Job`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    pub metadata: ObjectMeta,
    pub spec: JobSpec,
    pub status: JobStatus,
}

impl Object for Job {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Job {
    /// The condition of this type, if it holds.
    pub fn holds(&self, kind: &str) -> Option<&JobCondition> {
        self.status.holds(kind)
    }

    /// Whether the Job is over: nothing of it changes any more.
    pub fn is_finished(&self) -> bool {
        self.holds("Complete").is_some() || self.holds("Failed").is_some()
    }

    /// The foreign controller that looks after the Job, if one does.
    pub fn foreign_manager(&self) -> Option<&Istr> {
        self.spec
            .managed_by
            .as_ref()
            .filter(|name| **name != "kubernetes.io/job-controller")
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobSpec {
    pub parallelism: i32,
    /// Without it one success is enough, and pods that run are left to end.
    pub completions: Option<i32>,
    pub completion_mode: CompletionMode,
    pub backoff_limit: i32,
    pub backoff_limit_per_index: Option<i32>,
    pub max_failed_indexes: Option<i32>,
    pub active_deadline_seconds: Option<i64>,
    pub ttl_seconds_after_finished: Option<i32>,
    pub pod_failure_policy: Option<PodFailurePolicy>,
    pub success_policy: Option<SuccessPolicy>,
    pub pod_replacement_policy: PodReplacement,
    pub suspend: Option<bool>,
    pub managed_by: Option<Istr>,
    pub selector: LabelSelector,
    pub template: Template,
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            parallelism: 1,
            completions: None,
            completion_mode: CompletionMode::default(),
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            pod_failure_policy: None,
            success_policy: None,
            pod_replacement_policy: PodReplacement::default(),
            suspend: None,
            managed_by: None,
            selector: LabelSelector::default(),
            template: Template::default(),
        }
    }
}

impl JobSpec {
    /// Whether no pods may run for now.
    pub fn is_suspended(&self) -> bool {
        self.suspend == Some(true)
    }

    /// How many indexes there are, where pods have indexes.
    pub fn indexes(&self) -> Option<usize> {
        (self.completion_mode == CompletionMode::Indexed)
            .then(|| usize::try_from(self.completions.unwrap_or(0)).unwrap_or(0))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum CompletionMode {
    #[default]
    NonIndexed,
    Indexed,
    /// Of a later version: such a Job is left alone.
    #[serde(other)]
    Unknown,
}

/// When a pod that is being deleted gets its replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PodReplacement {
    /// When it has ended.
    Failed,
    #[default]
    #[serde(other)]
    TerminatingOrFailed,
}

/// What failures of pods mean.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodFailurePolicy {
    #[serde(deserialize_with = "null_default")]
    pub rules: Vec<FailureRule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRule {
    pub action: FailureAction,
    #[serde(default)]
    pub on_exit_codes: Option<OnExitCodes>,
    #[serde(default, deserialize_with = "null_default")]
    pub on_pod_conditions: Vec<OnPodCondition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FailureAction {
    FailJob,
    FailIndex,
    Ignore,
    Count,
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnExitCodes {
    /// All containers, if none is named.
    #[serde(default)]
    pub container_name: Option<Istr>,
    pub operator: Operator,
    #[serde(default, deserialize_with = "null_default")]
    pub values: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
pub struct OnPodCondition {
    #[serde(rename = "type")]
    pub kind: Istr,
    #[serde(default)]
    pub status: ConditionStatus,
}

/// Which indexes are enough.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SuccessPolicy {
    #[serde(deserialize_with = "null_default")]
    pub rules: Vec<SuccessRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SuccessRule {
    pub succeeded_indexes: Option<Box<str>>,
    pub succeeded_count: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<JobCondition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    pub active: i32,
    pub succeeded: i32,
    pub failed: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<i32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub completed_indexes: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncounted_terminated_pods: Option<Uncounted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
}

impl JobStatus {
    /// The condition of this type, if it holds.
    pub fn holds(&self, kind: &str) -> Option<&JobCondition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
            .filter(|condition| condition.status == ConditionStatus::True)
    }
}

/// Pods (by uid) that have ended, keep their finalizer, and are not in the counters yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Uncounted {
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub succeeded: Vec<Istr>,
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Istr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCondition {
    #[serde(rename = "type")]
    pub kind: Istr,
    #[serde(default)]
    pub status: ConditionStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Istr,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}
