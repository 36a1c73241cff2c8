//! Fields of the pod for environment variables and downward API files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;

/// The value of a metadata field, which environments and files may both use.
///
/// # Errors
/// Upstream's words for a path that is not one.
pub(crate) fn metadata(pod: &core::Pod, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    if let Some((field, key)) = subscript(path) {
        return match field {
            "metadata.annotations" => Ok(entry(meta.annotations.as_ref(), key)),
            "metadata.labels" => Ok(entry(meta.labels.as_ref(), key)),
            _ => Err(format!("fieldPath {path:?} does not support subscript")),
        };
    }
    Ok(match path {
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a field for an environment variable: metadata, and what is known once the pod has its addresses.
///
/// # Errors
/// As [`metadata`].
pub(crate) fn runtime(
    pod: &core::Pod,
    path: &str,
    host_ips: &[IpAddr],
    pod_ips: &[IpAddr],
) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let joined = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    let of = |field: fn(&core::PodSpec) -> Option<&String>| spec.and_then(field).cloned().unwrap_or_default();
    Ok(match path {
        "spec.nodeName" | "spec.host" => of(|spec| spec.node_name.as_ref()),
        "spec.serviceAccountName" => of(|spec| spec.service_account_name.as_ref()),
        "status.hostIP" => first(host_ips),
        "status.hostIPs" => joined(host_ips),
        "status.podIP" => first(&preferred(pod_ips, host_ips)),
        "status.podIPs" => joined(&preferred(pod_ips, host_ips)),
        _ => return metadata(pod, path),
    })
}

/// One address of each family, the node's first family first.
fn preferred(pod_ips: &[IpAddr], host_ips: &[IpAddr]) -> Vec<IpAddr> {
    let v4 = host_ips.first().is_none_or(IpAddr::is_ipv4);
    let of = |v4: bool| pod_ips.iter().find(|ip| ip.is_ipv4() == v4).copied();
    of(v4).into_iter().chain(of(!v4)).collect()
}

/// `metadata.labels['key']` -> (`metadata.labels`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, key) = path.strip_suffix("']")?.split_once("['")?;
    (!field.is_empty()).then_some((field, key))
}

fn entry(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

/// `key="value"` lines, sorted by key.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (key, value) in map.into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(key);
        out.push('=');
        quote(value, &mut out);
    }
    out
}

/// Quotes as Go's `strconv.Quote`, which readers of these files unquote.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            // Writing to a String cannot fail.
            c if (c as u32) < 0x20 || c == '\u{7f}' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if unprintable(c) && (c as u32) < 0x1_0000 => drop(write!(out, "\\u{:04x}", c as u32)),
            c if unprintable(c) => drop(write!(out, "\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn unprintable(character: char) -> bool {
    let code = character as u32;
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(code, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> core::Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u",
                         "labels": {"b": "2", "a": "1"},
                         "annotations": {"note": "say \"hi\"\nthere", "x.io/y": "z"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []},
        }))
        .unwrap()
    }

    #[test]
    fn metadata_fields() {
        for (path, want) in [
            ("metadata.name", Ok("p")),
            ("metadata.namespace", Ok("ns")),
            ("metadata.uid", Ok("u")),
            ("metadata.labels", Ok("a=\"1\"\nb=\"2\"")),
            (
                "metadata.annotations",
                Ok("note=\"say \\\"hi\\\"\\nthere\"\nx.io/y=\"z\""),
            ),
            ("metadata.labels['a']", Ok("1")),
            ("metadata.labels['none']", Ok("")),
            ("metadata.annotations['x.io/y']", Ok("z")),
            (
                "metadata.name['a']",
                Err("fieldPath \"metadata.name['a']\" does not support subscript"),
            ),
            ("spec.containers", Err("unsupported fieldPath: spec.containers")),
        ] {
            assert_eq!(
                metadata(&pod(), path).as_deref(),
                want.map_err(str::to_owned).as_ref().copied(),
                "{path}"
            );
        }
    }

    #[test]
    fn addresses_follow_the_nodes_family() {
        let ips = |of: &[&str]| of.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let (v4, v6) = (ips(&["10.0.0.1", "fd00::1"]), ips(&["fd00::1", "10.0.0.1"]));
        let pod_ips = ips(&["10.244.0.5", "fd00:1::5"]);
        let value = |path: &str, host: &[IpAddr]| runtime(&pod(), path, host, &pod_ips).unwrap();
        assert_eq!(value("status.podIP", &v4), "10.244.0.5");
        assert_eq!(value("status.podIPs", &v4), "10.244.0.5,fd00:1::5");
        assert_eq!(value("status.podIP", &v6), "fd00:1::5");
        assert_eq!(value("status.hostIP", &v4), "10.0.0.1");
        assert_eq!(value("status.hostIPs", &v6), "fd00::1,10.0.0.1");
        assert_eq!(value("spec.nodeName", &v4), "n1");
        assert_eq!(value("spec.serviceAccountName", &v4), "sa");
        assert_eq!(runtime(&pod(), "status.podIP", &v4, &[]).unwrap(), "");
    }

    #[test]
    fn quoting_is_gos() {
        let quoted = |text: &str| {
            let mut out = String::new();
            quote(text, &mut out);
            out
        };
        assert_eq!(quoted("a\\b"), r#""a\\b""#);
        assert_eq!(quoted("\u{1}\t\r"), r#""\x01\t\r""#);
        assert_eq!(quoted("é✓😀"), "\"é✓😀\"");
        assert_eq!(quoted("\u{a0}\u{feff}"), r#""\u00a0\ufeff""#);
    }
}
