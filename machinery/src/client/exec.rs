//! client-go credential plugins: a command that prints a token or a client certificate.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

use std::process::Stdio;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How to run the plugin.
#[derive(Clone, Debug)]
pub struct ExecPlugin {
    pub api_version: String,
    pub command: String,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub install_hint: Option<String>,
    pub cluster: Option<ClusterInfo>,
}

/// What the plugin is told about the cluster where it asks for it (`provideClusterInfo`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterInfo {
    pub server: String,
    #[serde(rename = "tls-server-name", skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    #[serde(rename = "insecure-skip-tls-verify", skip_serializing_if = "Option::is_none")]
    pub insecure_skip_tls_verify: Option<bool>,
    #[serde(
        rename = "certificate-authority-data",
        skip_serializing_if = "Option::is_none"
    )]
    pub certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
}

/// What the plugin printed.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ExecStatus {
    pub expiration_timestamp: Option<Timestamp>,
    pub token: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    status: Option<ExecStatus>,
}

impl ExecPlugin {
    /// Runs the plugin; the error says which command and what to do.
    pub(super) async fn run(&self) -> Result<ExecStatus, String> {
        let info = serde_json::json!({
            "kind": "ExecCredential",
            "apiVersion": self.api_version,
            "spec": { "interactive": false, "cluster": self.cluster },
        });
        let output = tokio::process::Command::new(&self.command)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|cause| self.problem(&format!("cannot be run: {cause}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(self.problem(&format!("ended with {}: {}", output.status, said.trim())));
        }
        self.decode(&output.stdout)
    }

    fn decode(&self, printed: &[u8]) -> Result<ExecStatus, String> {
        let credential: ExecCredential = serde_json::from_slice(printed)
            .map_err(|cause| self.problem(&format!("printed no ExecCredential: {cause}")))?;
        if credential.kind != "ExecCredential" || credential.api_version != self.api_version {
            return Err(self.problem(&format!(
                "printed a {} of {}, expected an ExecCredential of {}",
                credential.kind, credential.api_version, self.api_version
            )));
        }
        let status = credential
            .status
            .ok_or_else(|| self.problem("printed no status"))?;
        match (
            &status.token,
            &status.client_certificate_data,
            &status.client_key_data,
        ) {
            (_, Some(_), None) | (_, None, Some(_)) => {
                Err(self.problem("printed only half of a client certificate"))
            }
            (None, None, None) => Err(self.problem("printed neither a token nor a client certificate")),
            _ => Ok(status),
        }
    }

    fn problem(&self, problem: &str) -> String {
        let hint = self
            .install_hint
            .as_deref()
            .map(|hint| format!("; {}", hint.trim()))
            .unwrap_or_default();
        format!("credential plugin {:?} {problem}{hint}", self.command)
    }
}
