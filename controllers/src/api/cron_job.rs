//! CronJobs.

use machinery::meta::{Annotations, Istr, Labels, Object, ObjectMeta, ObjectRef, Time, null_default};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A batch/v1 `CronJob`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CronJob {
    pub metadata: ObjectMeta,
    pub spec: CronJobSpec,
    pub status: CronJobStatus,
}

impl Object for CronJob {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobSpec {
    pub schedule: Box<str>,
    pub time_zone: Option<Box<str>>,
    pub starting_deadline_seconds: Option<i64>,
    pub concurrency_policy: ConcurrencyPolicy,
    pub suspend: Option<bool>,
    pub job_template: JobTemplate,
    pub successful_jobs_history_limit: Option<i32>,
    pub failed_jobs_history_limit: Option<i32>,
}

/// What happens when a Job still runs at the next time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ConcurrencyPolicy {
    /// The next one waits for its next time.
    Forbid,
    /// It is deleted.
    Replace,
    #[default]
    #[serde(other)]
    Allow,
}

/// A batch/v1 `JobTemplateSpec`; the spec is kept as the JSON it came in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    pub metadata: TemplateMeta,
    spec: Option<Box<RawValue>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    #[serde(deserialize_with = "null_default")]
    pub labels: Labels,
    #[serde(deserialize_with = "null_default")]
    pub annotations: Annotations,
}

impl JobTemplate {
    /// The JSON of the Jobs' spec.
    pub fn spec(&self) -> Option<&RawValue> {
        self.spec.as_deref()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobStatus {
    /// Jobs that run.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
}

impl CronJobStatus {
    /// Whether the Job with this uid is listed.
    pub fn lists(&self, uid: &Istr) -> bool {
        self.active.iter().any(|job| job.uid == *uid)
    }

    /// Takes the Job with this uid off the list; whether it was on it.
    pub fn strike(&mut self, uid: &Istr) -> bool {
        let before = self.active.len();
        self.active.retain(|job| job.uid != *uid);
        self.active.len() < before
    }
}
