//! kubectl, as a user would call it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::plan::site::Folder;

/// Runs kubectl on a rig, in a namespace.
#[derive(Clone)]
pub struct Kubectl {
    folder: Folder,
    namespace: String,
}

impl Kubectl {
    pub(crate) fn new(folder: &Folder) -> Self {
        Self {
            folder: folder.clone(),
            namespace: "default".to_owned(),
        }
    }

    /// The same in another namespace.
    pub fn within(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    /// The command, for tests that let it run on.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.folder.upstream().join("kubectl"));
        command
            .env("KUBECONFIG", self.folder.kubeconfig())
            .args(["--namespace", &self.namespace])
            .args(args);
        command
    }

    /// The command line under a terminal of its own, as util-linux's `script` makes one.
    pub fn in_terminal(&self, args: &[&str]) -> Command {
        let plain = self.command(args);
        let quote = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let line: Vec<String> = std::iter::once(plain.get_program())
            .chain(plain.get_args())
            .map(quote)
            .collect();
        let mut command = Command::new("script");
        command.env("KUBECONFIG", self.folder.kubeconfig());
        command.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        command
    }

    /// Runs it; what it prints, if it succeeds.
    ///
    /// # Errors
    /// With what it says on standard error.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, "")
    }

    /// Runs it with `input` on standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("running kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().context("waiting for kubectl")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "kubectl {}: {}{said}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(said)
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &Value) -> Result<()> {
        self.run_with(&["apply", "-f", "-"], &manifest.to_string())
            .map(drop)
    }

    /// `get`, in JSON.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        let args: Vec<&str> = std::iter::once("get")
            .chain(what.iter().copied())
            .chain(["-o", "json"])
            .collect();
        serde_json::from_str(&self.run(&args)?).context("reading what kubectl printed")
    }

    /// The items of a list.
    pub fn list(&self, what: &[&str]) -> Result<Vec<Value>> {
        Ok(self.get(what)?["items"].as_array().cloned().unwrap_or_default())
    }
}
