//! What a plugin answers.

use std::fmt;

use smallvec::SmallVec;

/// The kind of an answer that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Something unexpected happened; the pod is retried after a back-off.
    Error,
    /// The pod does not fit now; evicting pods could make it fit.
    Unschedulable,
    /// The pod does not fit and evicting pods would not help.
    UnschedulableAndUnresolvable,
    /// The pod waits for something that the plugin has set in motion.
    Pending,
}

/// An answer that stops a pod, with its reasons and, once the framework has seen it, the plugin that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub reasons: SmallVec<[String; 1]>,
    pub plugin: &'static str,
}

impl Status {
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reasons: SmallVec::from_iter([reason.into()]),
            plugin: "",
        }
    }

    pub fn error(reason: impl Into<String>) -> Self {
        Self::new(Code::Error, reason)
    }

    pub fn unschedulable(reason: impl Into<String>) -> Self {
        Self::new(Code::Unschedulable, reason)
    }

    pub fn unresolvable(reason: impl Into<String>) -> Self {
        Self::new(Code::UnschedulableAndUnresolvable, reason)
    }

    /// The same answer, under the name of the plugin that gave it.
    #[must_use]
    pub fn by(mut self, plugin: &'static str) -> Self {
        self.plugin = plugin;
        self
    }

    /// Whether the pod was judged and turned down, as opposed to an error.
    pub fn is_rejected(&self) -> bool {
        self.code != Code::Error
    }

    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}
