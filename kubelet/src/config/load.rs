//! Files, drop-ins and flags, merged in this order, then decoded strictly and checked.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use machinery::component::config::{decode, document, merge};
use machinery::component::flags::Flags;
use serde_json::{Value, json};

use super::file::KubeletConfig;
use super::flags;
use super::span::Span;

const VERSION: &str = "kubelet.config.k8s.io/v1beta1";
const KIND: &str = "KubeletConfiguration";

/// Fields where zero asks for the default.
const ZERO_IS_DEFAULT: [&str; 22] = [
    "syncFrequency",
    "fileCheckFrequency",
    "httpCheckFrequency",
    "streamingConnectionIdleTimeout",
    "imageMinimumGCAge",
    "volumeStatsAggPeriod",
    "cpuManagerReconcilePeriod",
    "runtimeRequestTimeout",
    "evictionPressureTransitionPeriod",
    "port",
    "registryBurst",
    "eventBurst",
    "nodeLeaseDurationSeconds",
    "maxPods",
    "maxOpenFiles",
    "kubeAPIBurst",
    "address",
    "healthzBindAddress",
    "podLogsDir",
    "containerRuntimeEndpoint",
    "cgroupDriver",
    "volumePluginDir",
];

/// The configuration, and whether somebody asked for limits on API requests.
pub struct Loaded {
    /// All fields.
    pub config: KubeletConfig,
    /// `kubeAPIQPS` was set by the user.
    pub caps_api: bool,
}

/// Reads everything.
///
/// # Errors
/// When a file cannot be read or a field is unknown or wrong: the message names both.
pub fn load(flags: &Flags) -> Result<Loaded> {
    let mut merged = json!({});
    let mut last = PathBuf::from("(flags)");
    if let Some(path) = flags.non_empty("config") {
        last = path.into();
        read(&mut merged, &last)?;
    }
    if let Some(folder) = flags.non_empty("config-dir") {
        for path in drop_ins(Path::new(folder))
            .with_context(|| format!("reading the folder {folder} (--config-dir)"))?
        {
            read(&mut merged, &path)?;
            last = path;
        }
    }
    merge(&mut merged, flags::overlay(flags).map_err(anyhow::Error::msg)?);
    let caps_api = merged.get("kubeAPIQPS").is_some();
    without_zeros(&mut merged);
    let mut config: KubeletConfig = decode(merged, &last)?;
    settle(&mut config);
    check(&config)?;
    Ok(Loaded { config, caps_api })
}

fn read(merged: &mut Value, path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the configuration file {}", path.display()))?;
    let document = document(&text, path, VERSION, KIND)?;
    // Each file on its own first, so that an error names the file it is in.
    let mut alone = document.clone();
    without_zeros(&mut alone);
    decode::<KubeletConfig>(alone, path)?;
    merge(merged, document);
    Ok(())
}

/// All `*.conf` files below a folder, in the order of their paths.
fn drop_ins(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(drop_ins(&path)?);
        } else if path.extension().is_some_and(|e| e == "conf") {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// Null and zero ask for the default in many fields.
fn without_zeros(document: &mut Value) {
    let Some(fields) = document.as_object_mut() else {
        return;
    };
    fields.retain(|name, value| {
        let zero = match value {
            Value::Null => return false,
            Value::Number(n) => n.as_i64() == Some(0),
            Value::String(s) => s.is_empty() || Span::parse(s) == Some(Span::ZERO),
            _ => false,
        };
        !(zero && ZERO_IS_DEFAULT.contains(&name.as_str()))
    });
    for name in ["authentication", "authorization"] {
        if let Some(inner) = fields.get_mut(name) {
            prune_nulls(inner);
        }
    }
}

fn prune_nulls(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, v| !v.is_null() && v.as_str() != Some("0s"));
        fields.values_mut().for_each(prune_nulls);
    }
}

/// Defaults that hang on one another.
fn settle(config: &mut KubeletConfig) {
    if config.node_status_report_frequency == Span::ZERO {
        let update = config.node_status_update_frequency;
        config.node_status_report_frequency = if update == Span::ZERO {
            Span::secs(300)
        } else {
            update
        };
    }
    if config.node_status_update_frequency == Span::ZERO {
        config.node_status_update_frequency = Span::secs(10);
    }
    if config.pod_pids_limit < 0 {
        config.pod_pids_limit = -1;
    }
    if config.crash_loop_back_off.max_container_restart_period.is_none() {
        config.crash_loop_back_off.max_container_restart_period = Some(Span::secs(300));
    }
}

fn check(config: &KubeletConfig) -> Result<()> {
    let one_of = |field: &str, value: &str, allowed: &[&str]| {
        if allowed.contains(&value) {
            Ok(())
        } else {
            bail!(
                "invalid configuration: {field} is {value:?}, want one of {}",
                allowed.join(", ")
            )
        }
    };
    one_of("cgroupDriver", &config.cgroup_driver, &["cgroupfs", "systemd"])?;
    one_of(
        "authorization.mode",
        &config.authorization.mode,
        &["AlwaysAllow", "Webhook"],
    )?;
    one_of(
        "memorySwap.swapBehavior",
        &config.memory_swap.swap_behavior,
        &["", "NoSwap", "LimitedSwap"],
    )?;
    one_of(
        "configMapAndSecretChangeDetectionStrategy",
        &config.config_map_and_secret_change_detection_strategy,
        &["Watch", "Cache", "Get"],
    )?;
    if config.image_gc_low_threshold_percent >= config.image_gc_high_threshold_percent {
        bail!(
            "invalid configuration: imageGCLowThresholdPercent ({}) must be less than imageGCHighThresholdPercent ({})",
            config.image_gc_low_threshold_percent,
            config.image_gc_high_threshold_percent
        );
    }
    if config.container_log_max_files < 2 {
        bail!(
            "invalid configuration: containerLogMaxFiles is {}, want at least 2",
            config.container_log_max_files
        );
    }
    if config.tls_cert_file.is_empty() != config.tls_private_key_file.is_empty() {
        bail!("invalid configuration: tlsCertFile and tlsPrivateKeyFile must be set together");
    }
    let period = config
        .crash_loop_back_off
        .max_container_restart_period
        .unwrap_or_default();
    if period < Span::secs(1) || period > Span::secs(300) {
        bail!("invalid configuration: crashLoopBackOff.maxContainerRestartPeriod is {period}, want 1s to 5m");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PROGRAM;

    fn write(folder: &Path, name: &str, body: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("apiVersion: {VERSION}\nkind: {KIND}\n{body}")).unwrap();
        path
    }

    fn load_with(args: &[&str]) -> Result<Loaded> {
        load(&PROGRAM.parse_from(args.iter().copied()).unwrap())
    }

    #[test]
    fn files_then_drop_ins_then_flags() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(
            dir.path(),
            "k.yaml",
            "maxPods: 10\nport: 1\nclusterDomain: a\nsyncFrequency: 0s\n",
        );
        let drop_ins = dir.path().join("d");
        std::fs::create_dir(&drop_ins).unwrap();
        write(
            &drop_ins,
            "10.conf",
            "maxPods: 20\nauthentication: {x509: {clientCAFile: /ca}}\n",
        );
        write(
            &drop_ins,
            "20.conf",
            "maxPods: 30\nauthentication: {anonymous: {enabled: true}}\n",
        );
        write(&drop_ins, "30.yaml", "maxPods: 99\n");
        let (file, drop_ins) = (file.display().to_string(), drop_ins.display().to_string());
        let loaded = load_with(&["--config", &file, "--config-dir", &drop_ins, "--port=2"]).unwrap();
        let config = loaded.config;
        assert_eq!(
            (config.max_pods, config.port, config.cluster_domain.as_str()),
            (30, 2, "a")
        );
        assert_eq!(config.sync_frequency, Span::secs(60));
        assert_eq!(config.authentication.x509.client_ca_file, "/ca");
        assert!(config.authentication.anonymous.enabled && config.authentication.webhook.enabled);
        assert_eq!(config.node_status_report_frequency, Span::secs(300));
        assert!(!loaded.caps_api);
    }

    #[test]
    fn mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (body, words) in [
            ("maxPodz: 1\n", "maxPodz"),
            ("maxPods: many\n", "maxPods"),
            ("cgroupDriver: magic\n", "cgroupDriver"),
            ("containerLogMaxFiles: 1\n", "containerLogMaxFiles"),
            ("syncFrequency: 5\n", "syncFrequency"),
        ] {
            let file = write(dir.path(), "k.yaml", body).display().to_string();
            let error = format!("{:#}", load_with(&["--config", &file]).err().unwrap());
            assert!(error.contains(words), "{body}: {error}");
        }
        let error = format!("{:#}", load_with(&["--config", "/nowhere.yaml"]).err().unwrap());
        assert!(error.contains("/nowhere.yaml"), "{error}");
    }
}
