//! The flags: those that are fields of the configuration file too, and those that are flags alone.

use machinery::component::flags::{Flag, Flags, Kind, Program, inert, works};
use serde_json::{Map, Value, json};

/// How a flag's text becomes a field's value.
#[derive(Clone, Copy, Debug)]
enum Form {
    Bool,
    Text,
    Number,
    List,
    Map,
    /// `key<value` pairs.
    Less,
    /// `key=value:Effect`.
    Taints,
}

/// A flag and the field it sets.
struct Setting(&'static str, &'static str, Form);

use Form::{Bool, Less, List, Number, Taints, Text};

/// Flags over fields.
const SETTINGS: [Setting; 95] = [
    Setting("address", "address", Text),
    Setting("allowed-unsafe-sysctls", "allowedUnsafeSysctls", List),
    Setting("anonymous-auth", "authentication.anonymous.enabled", Bool),
    Setting(
        "authentication-token-webhook",
        "authentication.webhook.enabled",
        Bool,
    ),
    Setting(
        "authentication-token-webhook-cache-ttl",
        "authentication.webhook.cacheTTL",
        Text,
    ),
    Setting("authorization-mode", "authorization.mode", Text),
    Setting(
        "authorization-webhook-cache-authorized-ttl",
        "authorization.webhook.cacheAuthorizedTTL",
        Text,
    ),
    Setting(
        "authorization-webhook-cache-unauthorized-ttl",
        "authorization.webhook.cacheUnauthorizedTTL",
        Text,
    ),
    Setting("cgroup-driver", "cgroupDriver", Text),
    Setting("cgroup-root", "cgroupRoot", Text),
    Setting("cgroups-per-qos", "cgroupsPerQOS", Bool),
    Setting("client-ca-file", "authentication.x509.clientCAFile", Text),
    Setting("cluster-dns", "clusterDNS", List),
    Setting("cluster-domain", "clusterDomain", Text),
    Setting("container-log-max-files", "containerLogMaxFiles", Number),
    Setting("container-log-max-size", "containerLogMaxSize", Text),
    Setting("container-runtime-endpoint", "containerRuntimeEndpoint", Text),
    Setting("contention-profiling", "enableContentionProfiling", Bool),
    Setting("cpu-cfs-quota", "cpuCFSQuota", Bool),
    Setting("cpu-cfs-quota-period", "cpuCFSQuotaPeriod", Text),
    Setting("cpu-manager-policy", "cpuManagerPolicy", Text),
    Setting("cpu-manager-policy-options", "cpuManagerPolicyOptions", Form::Map),
    Setting("cpu-manager-reconcile-period", "cpuManagerReconcilePeriod", Text),
    Setting(
        "enable-controller-attach-detach",
        "enableControllerAttachDetach",
        Bool,
    ),
    Setting("enable-debugging-handlers", "enableDebuggingHandlers", Bool),
    Setting("enable-server", "enableServer", Bool),
    Setting("enforce-node-allocatable", "enforceNodeAllocatable", List),
    Setting("event-burst", "eventBurst", Number),
    Setting("event-qps", "eventRecordQPS", Number),
    Setting("eviction-hard", "evictionHard", Less),
    Setting(
        "eviction-max-pod-grace-period",
        "evictionMaxPodGracePeriod",
        Number,
    ),
    Setting("eviction-minimum-reclaim", "evictionMinimumReclaim", Form::Map),
    Setting(
        "eviction-pressure-transition-period",
        "evictionPressureTransitionPeriod",
        Text,
    ),
    Setting("eviction-soft", "evictionSoft", Less),
    Setting("eviction-soft-grace-period", "evictionSoftGracePeriod", Form::Map),
    Setting("fail-cgroupv1", "failCgroupV1", Bool),
    Setting("fail-swap-on", "failSwapOn", Bool),
    Setting("file-check-frequency", "fileCheckFrequency", Text),
    Setting("hairpin-mode", "hairpinMode", Text),
    Setting("healthz-bind-address", "healthzBindAddress", Text),
    Setting("healthz-port", "healthzPort", Number),
    Setting("http-check-frequency", "httpCheckFrequency", Text),
    Setting("image-gc-high-threshold", "imageGCHighThresholdPercent", Number),
    Setting("image-gc-low-threshold", "imageGCLowThresholdPercent", Number),
    Setting("image-service-endpoint", "imageServiceEndpoint", Text),
    Setting("kernel-memcg-notification", "kernelMemcgNotification", Bool),
    Setting("kube-api-burst", "kubeAPIBurst", Number),
    Setting("kube-api-content-type", "contentType", Text),
    Setting("kube-api-qps", "kubeAPIQPS", Number),
    Setting("kube-reserved", "kubeReserved", Form::Map),
    Setting("kube-reserved-cgroup", "kubeReservedCgroup", Text),
    Setting("kubelet-cgroups", "kubeletCgroups", Text),
    Setting(
        "local-storage-capacity-isolation",
        "localStorageCapacityIsolation",
        Bool,
    ),
    Setting("make-iptables-util-chains", "makeIPTablesUtilChains", Bool),
    Setting("manifest-url", "staticPodURL", Text),
    Setting("max-open-files", "maxOpenFiles", Number),
    Setting("max-pods", "maxPods", Number),
    Setting("memory-manager-policy", "memoryManagerPolicy", Text),
    Setting("minimum-image-ttl-duration", "imageMinimumGCAge", Text),
    Setting("node-status-max-images", "nodeStatusMaxImages", Number),
    Setting("node-status-update-frequency", "nodeStatusUpdateFrequency", Text),
    Setting("oom-score-adj", "oomScoreAdj", Number),
    Setting("pod-cidr", "podCIDR", Text),
    Setting("pod-manifest-path", "staticPodPath", Text),
    Setting("pod-max-pids", "podPidsLimit", Number),
    Setting("pods-per-core", "podsPerCore", Number),
    Setting("port", "port", Number),
    Setting("protect-kernel-defaults", "protectKernelDefaults", Bool),
    Setting("provider-id", "providerID", Text),
    Setting("qos-reserved", "qosReserved", Form::Map),
    Setting("read-only-port", "readOnlyPort", Number),
    Setting("register-node", "registerNode", Bool),
    Setting("register-with-taints", "registerWithTaints", Taints),
    Setting("registry-burst", "registryBurst", Number),
    Setting("registry-qps", "registryPullQPS", Number),
    Setting("reserved-cpus", "reservedSystemCPUs", Text),
    Setting("resolv-conf", "resolvConf", Text),
    Setting("rotate-certificates", "rotateCertificates", Bool),
    Setting("rotate-server-certificates", "serverTLSBootstrap", Bool),
    Setting("runtime-request-timeout", "runtimeRequestTimeout", Text),
    Setting("serialize-image-pulls", "serializeImagePulls", Bool),
    Setting(
        "streaming-connection-idle-timeout",
        "streamingConnectionIdleTimeout",
        Text,
    ),
    Setting("sync-frequency", "syncFrequency", Text),
    Setting("system-cgroups", "systemCgroups", Text),
    Setting("system-reserved", "systemReserved", Form::Map),
    Setting("system-reserved-cgroup", "systemReservedCgroup", Text),
    Setting("tls-cert-file", "tlsCertFile", Text),
    Setting("tls-cipher-suites", "tlsCipherSuites", List),
    Setting("tls-min-version", "tlsMinVersion", Text),
    Setting("tls-private-key-file", "tlsPrivateKeyFile", Text),
    Setting("topology-manager-policy", "topologyManagerPolicy", Text),
    Setting(
        "topology-manager-policy-options",
        "topologyManagerPolicyOptions",
        Form::Map,
    ),
    Setting("topology-manager-scope", "topologyManagerScope", Text),
    Setting("volume-plugin-dir", "volumePluginDir", Text),
    Setting("volume-stats-agg-period", "volumeStatsAggPeriod", Text),
];

/// Flags alone.
const OWN: &[Flag] = &[
    inert(
        "bootstrap-kubeconfig",
        Kind::Text,
        "certificates are not asked for yet: the kubeconfig has to hold one",
    ),
    works("cert-dir", Kind::Text, "where certificates are kept"),
    works(
        "cloud-provider",
        Kind::Text,
        "\"external\": addresses and taints are a cloud controller's",
    ),
    works("config", Kind::Text, "the configuration file"),
    works(
        "config-dir",
        Kind::Text,
        "a folder of *.conf files over it, in the order of their names",
    ),
    works(
        "hostname-override",
        Kind::Text,
        "the node's name, where it is not the machine's",
    ),
    works(
        "kubeconfig",
        Kind::Text,
        "how to reach the API server; without it static pods alone are run",
    ),
    works(
        "node-ip",
        Kind::Text,
        "the node's address, or two of two families",
    ),
    works(
        "node-labels",
        Kind::Map,
        "labels of the node when it is registered",
    ),
    works("root-dir", Kind::Text, "where pods' folders are"),
    works(
        "seccomp-default",
        Kind::Bool,
        "RuntimeDefault seccomp for containers that name none",
    ),
    inert("exit-on-lock-contention", Kind::Bool, "there is no lock file"),
    inert(
        "experimental-allocatable-ignore-eviction",
        Kind::Bool,
        "upstream takes it away",
    ),
    inert(
        "experimental-mounter-path",
        Kind::Text,
        "volumes are mounted by the kernel",
    ),
    inert(
        "housekeeping-interval",
        Kind::Text,
        "there is no cAdvisor to keep house",
    ),
    inert(
        "image-credential-provider-bin-dir",
        Kind::Text,
        "credential provider plugins are not there yet",
    ),
    inert(
        "image-credential-provider-config",
        Kind::Text,
        "credential provider plugins are not there yet",
    ),
    inert(
        "lock-file",
        Kind::Text,
        "one kubelet a node is the service manager's to see to",
    ),
    inert(
        "manifest-url-header",
        Kind::Text,
        "set staticPodURLHeader in the configuration file",
    ),
    inert(
        "maximum-dead-containers",
        Kind::Text,
        "one ended container is kept of each",
    ),
    inert(
        "maximum-dead-containers-per-container",
        Kind::Text,
        "one ended container is kept of each",
    ),
    inert(
        "minimum-container-ttl-duration",
        Kind::Text,
        "ended containers are kept by count alone",
    ),
    inert(
        "reserved-memory",
        Kind::Text,
        "set reservedMemory in the configuration file",
    ),
    inert("runonce", Kind::Bool, "upstream has taken the mode away"),
    inert(
        "runtime-cgroups",
        Kind::Text,
        "the runtime is not moved between control groups",
    ),
];

const fn of_settings() -> [Flag; SETTINGS.len()] {
    let mut out = [works("", Kind::Text, ""); SETTINGS.len()];
    let mut i = 0;
    while i < SETTINGS.len() {
        let Setting(name, path, form) = SETTINGS[i];
        let kind = match form {
            Form::Bool => Kind::Bool,
            Form::Text | Form::Number => Kind::Text,
            Form::List | Form::Less | Form::Taints => Kind::List,
            Form::Map => Kind::Map,
        };
        out[i] = works(name, kind, path);
        i += 1;
    }
    out
}

const OVER_FIELDS: &[Flag] = &of_settings();

/// The kubelet and its flags.
pub const PROGRAM: Program = Program {
    name: "kubelet",
    about: "The Kubernetes node agent",
    flags: &[OWN, OVER_FIELDS],
};

/// The fields that flags set, as a configuration to be merged over the files.
///
/// # Errors
/// When a value cannot be read: it names the flag.
pub fn overlay(flags: &Flags) -> Result<Value, String> {
    let mut out = Value::Object(Map::new());
    for Setting(name, path, form) in &SETTINGS {
        if !flags.given(name) {
            continue;
        }
        let wrong = |why: &str| flags.invalid(name, why).to_string();
        let items = || flags.list(name).unwrap_or_default();
        let text = flags.text(name).unwrap_or_default();
        let value = match form {
            Form::Bool => json!(flags.boolean(name)),
            Form::Text => json!(text),
            Form::Number => json!(text.parse::<i64>().map_err(|_| wrong("it is no whole number"))?),
            Form::List => json!(items()),
            Form::Map => pairs(&items(), '=').ok_or_else(|| wrong("want key=value"))?,
            Form::Less => pairs(&items(), '<').ok_or_else(|| wrong("want signal<quantity"))?,
            Form::Taints => taints(&items()).ok_or_else(|| wrong("want key=value:Effect"))?,
        };
        set(&mut out, path, value);
    }
    if let Some(gates) = flags.map("feature-gates").map_err(|e| e.to_string())? {
        let mut on = Map::new();
        for (gate, value) in gates {
            let value = value
                .parse::<bool>()
                .map_err(|_| flags.invalid("feature-gates", "want Name=true").to_string())?;
            on.insert(gate.to_owned(), json!(value));
        }
        set(&mut out, "featureGates", Value::Object(on));
    }
    for (name, path) in [("v", "logging.verbosity"), ("logging-format", "logging.format")] {
        if let Some(text) = flags.text(name) {
            let value = text.parse::<u32>().map_or_else(|_| json!(text), |n| json!(n));
            set(&mut out, path, value);
        }
    }
    if let Some(on) = flags.boolean("seccomp-default") {
        set(&mut out, "seccompDefault", json!(on));
    }
    Ok(out)
}

fn pairs(items: &[&str], between: char) -> Option<Value> {
    let pairs = items.iter().map(|item| {
        item.split_once(between)
            .map(|(k, v)| (k.trim().to_owned(), json!(v.trim())))
    });
    pairs.collect::<Option<Map<String, Value>>>().map(Value::Object)
}

fn taints(items: &[&str]) -> Option<Value> {
    let one = |item: &&str| {
        let (rest, effect) = item.rsplit_once(':')?;
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        Some(json!({ "key": key, "value": value, "effect": effect }))
    };
    items
        .iter()
        .map(one)
        .collect::<Option<Vec<_>>>()
        .map(Value::Array)
}

fn set(document: &mut Value, path: &str, value: Value) {
    let mut at = document;
    for part in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(part).or_insert(Value::Null);
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KubeletConfig;

    #[test]
    fn every_setting_is_a_field() {
        for Setting(name, path, form) in &SETTINGS {
            let mut document = json!({});
            let value = match form {
                Form::Bool => json!(true),
                Form::Number => json!(7),
                Form::List => json!(["a"]),
                Form::Map | Form::Less => json!({ "a": "b" }),
                Form::Taints => taints(&["a=b:NoSchedule"]).unwrap(),
                Form::Text => json!("10s"),
            };
            set(&mut document, path, value);
            serde_json::from_value::<KubeletConfig>(document)
                .unwrap_or_else(|e| panic!("--{name} {path}: {e}"));
        }
    }

    #[test]
    fn flags_become_fields() {
        let flags = PROGRAM
            .parse_from([
                "--max-pods=20",
                "--anonymous-auth=false",
                "--eviction-hard=memory.available<5%,nodefs.available<1Gi",
                "--register-with-taints=a=b:NoSchedule",
                "--feature-gates=X=true",
                "-v=4",
            ])
            .unwrap();
        assert_eq!(
            overlay(&flags).unwrap(),
            json!({
                "maxPods": 20,
                "authentication": { "anonymous": { "enabled": false } },
                "evictionHard": { "memory.available": "5%", "nodefs.available": "1Gi" },
                "registerWithTaints": [{ "key": "a", "value": "b", "effect": "NoSchedule" }],
                "featureGates": { "X": true },
                "logging": { "verbosity": 4 },
            })
        );
        assert!(
            PROGRAM
                .parse_from(["--max-podz=1"])
                .unwrap_err()
                .text
                .contains("max-pods")
        );
        assert!(
            overlay(&PROGRAM.parse_from(["--max-pods=x"]).unwrap())
                .unwrap_err()
                .contains("max-pods")
        );
    }
}
