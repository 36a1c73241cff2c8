//! Configuration files: one YAML or JSON document with `apiVersion` and `kind`, decoded strictly.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("reading the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML, or holds a field twice.
    #[error("the configuration file {path} is not valid YAML: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        why: String,
    },
    /// It is of another kind.
    #[error(
        "the configuration file {path} has apiVersion {found_version:?} and kind {found_kind:?}; want {api_version} {kind}"
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it must be.
        api_version: &'static str,
        /// What it must be.
        kind: &'static str,
        /// What it is.
        found_version: String,
        /// What it is.
        found_kind: String,
    },
    /// A field is unknown or has a wrong value.
    #[error("the configuration file {path}, field {field}: {why}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The way to the field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads `path` as a `T`. `T` and all that it holds should carry `#[serde(deny_unknown_fields)]`, and
/// have upstream's defaults for what is absent; it holds no `apiVersion` and `kind`.
///
/// # Errors
/// See [`ConfigError`]; each names the file and, where there is one, the field.
pub fn load<T: DeserializeOwned>(
    path: &Path,
    api_version: &'static str,
    kind: &'static str,
) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    parse(&text, path, api_version, kind)
}

/// As [`load`], of a text that was read from `path`.
///
/// # Errors
/// As [`load`].
pub fn parse<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    api_version: &'static str,
    kind: &'static str,
) -> Result<T, ConfigError> {
    decode(document(text, path, api_version, kind)?, path)
}

/// The document without its `apiVersion` and `kind`, for callers that merge several before they
/// [`decode`] them.
///
/// # Errors
/// It is no YAML, or of another kind.
pub fn document(
    text: &str,
    path: &Path,
    api_version: &'static str,
    kind: &'static str,
) -> Result<Value, ConfigError> {
    let syntax = |why: String| ConfigError::Syntax {
        path: path.into(),
        why,
    };
    let mut document: Value = serde_saphyr::from_str(text).map_err(|error| syntax(error.to_string()))?;
    let fields = document
        .as_object_mut()
        .ok_or_else(|| syntax("it is not a map of fields".into()))?;
    let mut take = |name| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (found_version, found_kind) = (take("apiVersion"), take("kind"));
    if found_version != api_version || found_kind != kind {
        return Err(ConfigError::Kind {
            path: path.into(),
            api_version,
            kind,
            found_version,
            found_kind,
        });
    }
    Ok(document)
}

/// Decodes a document strictly.
///
/// # Errors
/// A field is unknown or has a wrong value.
pub fn decode<T: DeserializeOwned>(document: Value, path: &Path) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(document).map_err(|error| ConfigError::Field {
        path: path.into(),
        field: error.path().to_string(),
        why: error.inner().to_string(),
    })
}

/// Lays `over` over `base`: maps field by field, everything else whole, as drop-in files are merged.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default, rename_all = "camelCase")]
    struct Sample {
        max_pods: i32,
        inner: Inner,
    }
    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        on: bool,
    }

    fn read(body: &str) -> Result<Sample, String> {
        let text = format!("apiVersion: x/v1\nkind: Sample\n{body}");
        parse(&text, Path::new("f.yaml"), "x/v1", "Sample").map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_it_knows() {
        assert_eq!(
            read("maxPods: 5\ninner: {on: true}\n"),
            Ok(Sample {
                max_pods: 5,
                inner: Inner { on: true }
            })
        );
        assert_eq!(read(""), Ok(Sample::default()));
    }

    #[test]
    fn names_the_file_and_the_field() {
        for (body, words) in [
            ("maxPodz: 5\n", &["f.yaml", "unknown field `maxPodz`"][..]),
            (
                "inner: {off: true}\n",
                &["f.yaml", "inner", "unknown field `off`"],
            ),
            ("maxPods: many\n", &["f.yaml", "maxPods", "invalid type"]),
            ("maxPods: 1\nmaxPods: 2\n", &["f.yaml", "maxPods"]),
            ("{", &["f.yaml", "not valid YAML"]),
        ] {
            let error = read(body).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{body}: {error}");
        }
        let error = parse::<Sample>("kind: Other\n", Path::new("f.yaml"), "x/v1", "Sample")
            .unwrap_err()
            .to_string();
        assert!(error.contains("want x/v1 Sample"), "{error}");
    }

    #[test]
    fn drop_ins_are_merged_map_by_map() {
        let mut base = serde_json::json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut base, serde_json::json!({"a": {"c": [3]}, "e": 2}));
        assert_eq!(base, serde_json::json!({"a": {"b": 1, "c": [3]}, "d": 1, "e": 2}));
    }
}
