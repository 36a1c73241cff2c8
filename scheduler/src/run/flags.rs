//! Upstream's flags, and how they and the file make the configuration.

use std::path::Path;

use anyhow::Context;
use machinery::arith::duration::GoDuration;
use machinery::component::config as file;
use machinery::component::flags::{Flag, FlagError, Flags, Kind, Program, inert, works};
use machinery::component::secure;
use tracing::warn;

use crate::config::{API_VERSION, Configuration, KIND};

/// The program's flags.
pub const PROGRAM: Program = Program {
    name: "kube-scheduler",
    about: "Assigns pods to nodes, as Kubernetes' own scheduler does",
    flags: &[FLAGS, secure::FLAGS],
};

const FLAGS: &[Flag] = &[
    works(
        "config",
        Kind::Text,
        "the configuration file, a KubeSchedulerConfiguration v1",
    ),
    works(
        "write-config-to",
        Kind::Text,
        "write the configuration there and end",
    ),
    works(
        "master",
        Kind::Text,
        "the API server's address; goes before the kubeconfig's",
    ),
    works(
        "kubeconfig",
        Kind::Text,
        "how to reach the API server; not beside --config",
    ),
    works(
        "kube-api-qps",
        Kind::Text,
        "requests a second at most, on top of adaptive pacing; not beside --config",
    ),
    works(
        "kube-api-burst",
        Kind::Text,
        "requests at once at most, beside --kube-api-qps; not beside --config",
    ),
    inert(
        "kube-api-content-type",
        Kind::Text,
        "JSON is spoken, decoded straight into what is needed of it",
    ),
    works(
        "pod-max-in-unschedulable-pods-duration",
        Kind::Text,
        "how long a pod that does not fit waits for an event before it is tried again anyway",
    ),
    works(
        "leader-elect",
        Kind::Bool,
        "schedule only while holding the lease",
    ),
    works(
        "leader-elect-lease-duration",
        Kind::Text,
        "how long others wait before they take the lease over",
    ),
    works(
        "leader-elect-renew-deadline",
        Kind::Text,
        "how long renewing is tried before leading ends",
    ),
    works(
        "leader-elect-retry-period",
        Kind::Text,
        "how often the lease is tried for and renewed",
    ),
    works(
        "leader-elect-resource-lock",
        Kind::Text,
        "leases is the only kind",
    ),
    works("leader-elect-resource-name", Kind::Text, "the lease's name"),
    works(
        "leader-elect-resource-namespace",
        Kind::Text,
        "the lease's namespace",
    ),
];

/// Reads the file, if one is named, and lays the flags over it.
///
/// # Errors
/// The file cannot be read or a value is wrong; the error says which.
pub fn configuration(flags: &Flags) -> anyhow::Result<Configuration> {
    let mut config = match flags.non_empty("config") {
        Some(path) => {
            for name in ["kubeconfig", "kube-api-qps", "kube-api-burst"] {
                if flags.given(name) {
                    warn!("flag --{name} is ignored: --config is given, and says it");
                }
            }
            file::load(Path::new(path), API_VERSION, KIND)?
        }
        None => {
            let mut config = Configuration::default();
            let connection = &mut config.client_connection;
            connection.kubeconfig = flags.text("kubeconfig").unwrap_or_default().to_owned();
            connection.qps = flags.number("kube-api-qps")?;
            connection.burst = flags.number("kube-api-burst")?;
            config
        }
    };
    leader_election(flags, &mut config)?;
    Ok(config)
}

fn leader_election(flags: &Flags, config: &mut Configuration) -> Result<(), FlagError> {
    let election = &mut config.leader_election;
    if let Some(elect) = flags.boolean("leader-elect") {
        election.leader_elect = elect;
    }
    for (name, field) in [
        ("leader-elect-lease-duration", &mut election.lease_duration),
        ("leader-elect-renew-deadline", &mut election.renew_deadline),
        ("leader-elect-retry-period", &mut election.retry_period),
    ] {
        if let Some(duration) = flags.duration(name)? {
            *field = GoDuration(duration);
        }
    }
    for (name, field) in [
        ("leader-elect-resource-lock", &mut election.resource_lock),
        ("leader-elect-resource-name", &mut election.resource_name),
        (
            "leader-elect-resource-namespace",
            &mut election.resource_namespace,
        ),
    ] {
        if let Some(text) = flags.text(name) {
            *field = text.to_owned();
        }
    }
    Ok(())
}

/// Writes the configuration as a file that `--config` reads.
///
/// # Errors
/// The file cannot be written.
pub fn write_configuration(config: &Configuration, path: &Path) -> anyhow::Result<()> {
    let mut document = serde_json::json!({ "apiVersion": API_VERSION, "kind": KIND });
    file::merge(&mut document, serde_json::to_value(config)?);
    let text = serde_saphyr::to_string(&document).context("writing the configuration as YAML")?;
    std::fs::write(path, text).with_context(|| format!("writing the configuration to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_upstreams_command_line_is_known() {
        let args = [
            "--config=c.yaml",
            "--leader-elect=false",
            "--v=2",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
        ];
        assert!(PROGRAM.parse_from(args).is_ok());
        let error = PROGRAM.parse_from(["--leader-elekt=false"]).unwrap_err();
        assert!(error.text.contains("--leader-elect"), "{}", error.text);
    }

    #[test]
    fn flags_go_before_the_file_where_upstreams_do() {
        let flags = PROGRAM
            .parse_from(["--leader-elect=false", "--kubeconfig=k", "--kube-api-qps=7"])
            .unwrap();
        let config = configuration(&flags).unwrap();
        assert!(!config.leader_election.leader_elect);
        assert_eq!(config.client_connection.kubeconfig, "k");
        assert_eq!(config.client_connection.qps, Some(7.0));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        let mut config = Configuration {
            pod_max_backoff_seconds: 20,
            ..Configuration::default()
        };
        config.complete();
        write_configuration(&config, &path).unwrap();
        let text = path.display().to_string();
        let flags = PROGRAM.parse_from(["--config", &text]).unwrap();
        assert_eq!(configuration(&flags).unwrap(), config);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(
            &path,
            format!("apiVersion: {API_VERSION}\nkind: {KIND}\nprofiles:\n- schedulerNam: x\n"),
        )
        .unwrap();
        let flags = PROGRAM
            .parse_from(["--config", &path.display().to_string()])
            .unwrap();
        let error = configuration(&flags).unwrap_err().to_string();
        assert!(
            error.contains("profiles[0]") && error.contains("schedulerNam"),
            "{error}"
        );
    }
}
