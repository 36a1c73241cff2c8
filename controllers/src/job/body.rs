//! The pods of a Job, as they are created.

use super::plan::Replica;
use super::{FAILURES, IGNORED_FAILURES, INDEX, TRACKING};
use crate::api::Job;
use crate::pods::{Draft, draft};
use machinery::arith::names::MAX_GENERATED_LENGTH;
use machinery::client::{ApiError, Bytes};
use machinery::meta::resources::JOBS;
use serde_json::{Map, Value, json};

/// The variable that tells containers their index.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Letters that the API server adds to a generated name.
const SUFFIX: usize = 5;

/// What all pods of one sync have in common.
pub struct Bodies<'a> {
    job: &'a Job,
    draft: Draft<'a>,
    /// With the variable added, where pods have indexes.
    spec: Option<Map<String, Value>>,
}

impl<'a> Bodies<'a> {
    /// # Errors
    /// When the template cannot be read.
    pub fn new(job: &'a Job) -> Result<Self, ApiError> {
        let mut draft = draft(&JOBS, &job.metadata, &job.spec.template)?;
        if !draft.metadata.finalizers.iter().any(|held| held == TRACKING) {
            draft.metadata.finalizers.push(TRACKING.into());
        }
        let spec = match job.spec.indexes() {
            Some(_) => Some(with_variable(draft.read_spec()?)),
            None => None,
        };
        Ok(Self { job, draft, spec })
    }

    /// The body that creates one pod.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn of(&self, replica: Replica) -> Result<Bytes, ApiError> {
        let Some(index) = replica.index else {
            return self.draft.encode();
        };
        let mut metadata = self.draft.metadata.clone();
        let text = index.to_string();
        metadata.generate_name = generate_name(&self.job.metadata.name, &text).into();
        metadata.labels.insert(INDEX, text.as_str());
        metadata.annotations.insert(INDEX, text.as_str());
        if let Some((counted, ignored)) = replica.failures {
            metadata
                .annotations
                .insert(FAILURES, counted.to_string().as_str());
            if ignored > 0 {
                metadata
                    .annotations
                    .insert(IGNORED_FAILURES, ignored.to_string().as_str());
            }
        }
        let mut spec = self.spec.clone().unwrap_or_default();
        let hostname = format!("{}-{text}", self.job.metadata.name);
        spec.insert("hostname".to_owned(), hostname.into());
        self.draft.encode_with(metadata, &spec)
    }
}

/// `JOB-INDEX-`, the name cut so that all of it fits.
fn generate_name(job: &str, index: &str) -> String {
    let tail = format!("-{index}-");
    let room = (MAX_GENERATED_LENGTH - SUFFIX).saturating_sub(tail.len());
    format!("{}{tail}", job.get(..room).unwrap_or(job))
}

/// Gives the index to every container that does not set the variable itself.
fn with_variable(mut spec: Map<String, Value>) -> Map<String, Value> {
    let variable = json!({ "name": VARIABLE, "valueFrom": { "fieldRef": { "fieldPath": format!("metadata.labels['{INDEX}']") } } });
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let env = container.entry("env").or_insert(Value::Null);
            if env.is_null() {
                *env = json!([]);
            }
            if let Some(env) = env.as_array_mut()
                && !env.iter().any(|held| held["name"] == VARIABLE)
            {
                env.push(variable.clone());
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;

    fn json(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_pod_is_held_from_the_start() {
        let job = job("j", json!({}));
        let pod = json(&Bodies::new(&job).unwrap().of(Replica::default()).unwrap());
        assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
        assert_eq!(pod["metadata"]["generateName"], "j-");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "Job");
        assert_eq!(pod["spec"]["containers"][0]["env"], Value::Null);
    }

    #[test]
    fn a_pod_of_an_indexed_job_knows_its_index() {
        let job = job("j", json!({ "completionMode": "Indexed", "completions": 3 }));
        let bodies = Bodies::new(&job).unwrap();
        let pod = json(
            &bodies
                .of(Replica {
                    index: Some(2),
                    failures: Some((1, 0)),
                })
                .unwrap(),
        );
        assert_eq!(pod["metadata"]["generateName"], "j-2-");
        assert_eq!(pod["metadata"]["labels"][INDEX], "2");
        assert_eq!(
            pod["metadata"]["annotations"],
            json!({ INDEX: "2", FAILURES: "1" })
        );
        assert_eq!(pod["spec"]["hostname"], "j-2");
        let env = &pod["spec"]["containers"][0]["env"];
        assert_eq!(env[0]["name"], VARIABLE);
        assert_eq!(
            env[0]["valueFrom"]["fieldRef"]["fieldPath"],
            format!("metadata.labels['{INDEX}']")
        );
        assert_eq!(
            generate_name(&"x".repeat(63), "10"),
            format!("{}-10-", "x".repeat(54))
        );
    }

    #[test]
    fn a_variable_of_the_users_stays() {
        let spec = json!({ "containers": [{ "env": [{ "name": VARIABLE, "value": "x" }] }], "initContainers": [{ "env": null }] });
        let spec = with_variable(serde_json::from_value(spec).unwrap());
        assert_eq!(spec["containers"][0]["env"].as_array().unwrap().len(), 1);
        assert_eq!(spec["initContainers"][0]["env"][0]["name"], VARIABLE);
    }
}
