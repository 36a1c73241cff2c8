//! A namespace for one test.

use std::ops::Deref;
use std::process::Stdio;

use anyhow::Result;

use super::Kubectl;

/// Removed, without waiting for it, when it is dropped.
pub struct Namespace {
    name: String,
    kubectl: Kubectl,
}

impl Namespace {
    /// A namespace whose name starts with `name`.
    pub(super) fn make(kubectl: &Kubectl, name: &str) -> Result<Self> {
        let name = format!("{name}-{:x}", std::process::id());
        kubectl.run(&["create", "namespace", &name])?;
        // Without it, no pod is let in.
        kubectl
            .within(&name)
            .run(&["wait", "--for=create", "serviceaccount/default", "--timeout=60s"])?;
        Ok(Self {
            kubectl: kubectl.within(&name),
            name,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for Namespace {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        &self.kubectl
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut delete = self
            .kubectl
            .command(&["delete", "namespace", &self.name, "--wait=false"]);
        let _ = delete.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
