//! The pod template inside a workload.

use crate::hash::{TemplateId, pod_template_hash, template_id};
use machinery::meta::{Annotations, Istr, Labels, null_default};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// A core/v1 `PodTemplateSpec`, kept as the JSON it came in.
#[derive(Clone)]
pub struct Template {
    raw: Arc<RawValue>,
    id: OnceLock<TemplateId>,
    pub labels: Labels,
}

/// What becomes of a template when a pod is made of it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Parts<'a> {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, borrow)]
    spec: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "null_default")]
    labels: Labels,
    #[serde(deserialize_with = "null_default")]
    annotations: Annotations,
    #[serde(deserialize_with = "null_default")]
    finalizers: Vec<Istr>,
}

/// The parts that a pod takes from its template.
pub struct PodParts<'a> {
    pub labels: Labels,
    pub annotations: Annotations,
    pub finalizers: Vec<Istr>,
    pub spec: Option<&'a RawValue>,
}

impl Template {
    /// Keeps `raw`, the JSON of a `PodTemplateSpec`.
    ///
    /// # Errors
    /// When its metadata does not decode.
    pub fn new(raw: Arc<RawValue>) -> Result<Self, serde_json::Error> {
        let parts: Parts<'_> = serde_json::from_str(raw.get())?;
        let labels = parts.metadata.labels;
        Ok(Self {
            raw,
            id: OnceLock::new(),
            labels,
        })
    }

    /// The JSON.
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// What tells it from other templates, apart from its hash label. Computed once.
    pub fn id(&self) -> TemplateId {
        *self
            .id
            .get_or_init(|| template_id(self.raw.get()).unwrap_or_else(|_| unreadable(self.raw.get())))
    }

    /// Its `pod-template-hash`.
    ///
    /// # Errors
    /// When the JSON is none.
    pub fn hash(&self, collision_count: Option<i32>) -> Result<String, serde_json::Error> {
        pod_template_hash(self.raw.get(), collision_count)
    }

    /// What a pod takes from it.
    ///
    /// # Errors
    /// When the JSON is none.
    pub fn pod_parts(&self) -> Result<PodParts<'_>, serde_json::Error> {
        let Parts {
            metadata:
                Metadata {
                    labels,
                    annotations,
                    finalizers,
                },
            spec,
        } = serde_json::from_str(self.raw.get())?;
        Ok(PodParts {
            labels,
            annotations,
            finalizers,
            spec,
        })
    }

    /// The same template with one label set.
    ///
    /// # Errors
    /// When the JSON is no object.
    pub fn with_label(&self, key: &str, value: &str) -> Result<serde_json::Value, serde_json::Error> {
        use serde_json::{Map, Value};
        let mut template: Map<String, Value> = serde_json::from_str(self.raw.get())?;
        let object = |value: &mut Value| {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
        };
        let metadata = template.entry("metadata").or_insert(Value::Null);
        object(metadata);
        if let Some(metadata) = metadata.as_object_mut() {
            let labels = metadata.entry("labels").or_insert(Value::Null);
            object(labels);
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(key.to_owned(), Value::String(value.to_owned()));
            }
        }
        Ok(Value::Object(template))
    }
}

/// The text decoded once, so this stands for nothing that the API server serves.
fn unreadable(text: &str) -> TemplateId {
    template_id(&serde_json::json!({ "metadata": { "annotations": { "": text } } }).to_string())
        .unwrap_or_default()
}

impl Default for Template {
    fn default() -> Self {
        let raw: Box<RawValue> = serde_json::from_str("{}").unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            raw: raw.into(),
            id: OnceLock::new(),
            labels: Labels::new(),
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.raw.get())
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::new(raw.into()).map_err(serde::de::Error::custom)
    }
}
