//! Events about objects, under the controller's name.

use machinery::events::{EventType, Recorder};
use machinery::meta::ObjectRef;
use std::fmt::Display;

/// Records events for one controller.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    pub fn new(recorder: Recorder) -> Self {
        Self(recorder)
    }

    /// Something that is as it should be.
    pub fn normal(&self, about: &ObjectRef, reason: &'static str, message: impl Display) {
        self.0
            .event(about, EventType::Normal, reason, "", message.to_string());
    }

    /// Something that went wrong.
    pub fn warning(&self, about: &ObjectRef, reason: &'static str, message: impl Display) {
        self.0
            .event(about, EventType::Warning, reason, "", message.to_string());
    }
}
