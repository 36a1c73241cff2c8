//! An event as it is told, before it is written.

use crate::meta::{Annotations, Istr, ObjectRef};

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub regarding: ObjectRef,
    /// A second object, in `events.k8s.io` events alone.
    pub related: Option<ObjectRef>,
    pub kind: EventType,
    /// `Pulled`, `FailedScheduling`: a word that programs match on.
    pub reason: Istr,
    /// What was done or tried, in `events.k8s.io` events alone.
    pub action: Istr,
    pub message: Box<str>,
    pub annotations: Annotations,
}

impl Draft {
    pub fn new(
        regarding: &ObjectRef,
        kind: EventType,
        reason: impl Into<Istr>,
        action: impl Into<Istr>,
        message: impl Into<String>,
    ) -> Self {
        Draft {
            regarding: regarding.clone(),
            related: None,
            kind,
            reason: reason.into(),
            action: action.into(),
            message: message.into().into_boxed_str(),
            annotations: Annotations::new(),
        }
    }

    /// The namespace that the event goes to: events about cluster-scoped objects go to `default`.
    pub(super) fn namespace(&self) -> Istr {
        if self.regarding.namespace.is_empty() {
            Istr::from("default")
        } else {
            self.regarding.namespace.clone()
        }
    }
}

/// The longest name that an object may have.
const NAME_MAX: usize = 253;

/// A name for an event about `object`, made at `nanos` since 1970.
pub(super) fn event_name(object: &str, nanos: i128) -> String {
    let name = format!("{object}.{nanos:x}");
    let fits = name.len() <= NAME_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    if fits {
        return name;
    }
    // Static pods' file names, volumes' names and the like need not be names of objects.
    let tame: String = object
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .take(200)
        .collect();
    let tame = tame.trim_matches('-');
    if tame.is_empty() {
        format!("event.{nanos:x}")
    } else {
        format!("{tame}.{nanos:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_are_upstreams_where_those_are_valid() {
        assert_eq!(event_name("web-1", 0x17ab), "web-1.17ab");
        assert_eq!(event_name("Web_1", 0x17ab), "web1.17ab");
        assert_eq!(event_name(&"x".repeat(260), 1).len(), 202);
        assert_eq!(event_name("__", 1), "event.1");
    }
}
