//! Trust anchors for projected volumes: the certificates of ClusterTrustBundles, each once, in one PEM text.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as apis;
use machinery::arith::selector::{Expression, LabelSelector, Selector};
use machinery::cache::Cache;
use machinery::meta::{Object, ObjectMeta};
use rustc_hash::FxHashSet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

/// A ClusterTrustBundle, as far as volumes show it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Bundle {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: BundleSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BundleSpec {
    signer_name: Box<str>,
    trust_bundle: Box<str>,
}

impl Object for Bundle {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// What all of a pod's volumes want.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted(Vec<Bundles>);

/// Which bundles a source may show.
#[derive(Debug, PartialEq, Eq)]
enum Bundles {
    /// The one of this name.
    Named(Box<str>),
    /// Some of this signer's.
    SignedBy(Box<str>),
}

/// Of a pod; `None` if it shows none.
pub(super) fn wanted(pod: &core::Pod) -> Option<Wanted> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let wanted: Vec<Bundles> = volumes
        .unwrap_or_default()
        .iter()
        .flat_map(projections)
        .filter_map(|source| match (&source.name, &source.signer_name) {
            (Some(name), _) => Some(Bundles::Named(name.as_str().into())),
            (None, Some(signer)) => Some(Bundles::SignedBy(signer.as_str().into())),
            (None, None) => None,
        })
        .collect();
    (!wanted.is_empty()).then_some(Wanted(wanted))
}

/// Whether a pod that wants these has to look again when `bundle` has changed.
pub(super) fn concerns(_uid: &str, wanted: &Wanted, bundle: &Bundle) -> bool {
    wanted.0.iter().any(|wanted| match wanted {
        Bundles::Named(name) => *bundle.metadata.name == **name,
        Bundles::SignedBy(signer) => bundle.spec.signer_name == *signer,
    })
}

/// The trust bundle sources of a volume.
pub(super) fn projections(
    volume: &core::Volume,
) -> impl Iterator<Item = &core::ClusterTrustBundleProjection> {
    super::payload::projections(volume).filter_map(|source| source.cluster_trust_bundle.as_ref())
}

/// What a source shows of the bundles there are.
///
/// # Errors
/// There is no such bundle, and the source is not optional; the selector is none.
pub(super) fn anchors(
    source: &core::ClusterTrustBundleProjection,
    bundles: &Cache<Bundle>,
) -> Result<Vec<u8>, String> {
    let optional = source.optional == Some(true);
    if let Some(name) = &source.name {
        return match bundles.get_named("", name) {
            Some(bundle) => Ok(normalized([&*bundle.spec.trust_bundle])),
            None if optional => Ok(Vec::new()),
            None => Err(format!(
                "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"
            )),
        };
    }
    let signer = source
        .signer_name
        .as_deref()
        .ok_or("ClusterTrustBundle projection requires either name or signerName to be set")?;
    // No selector selects nothing, an empty one everything.
    let selector = match &source.label_selector {
        None => None,
        Some(selector) => Some(
            Selector::try_from(&plain(selector))
                .map_err(|error| format!("while parsing label selector: {error}"))?,
        ),
    };
    let chosen: Vec<_> = bundles
        .list()
        .into_iter()
        .filter(|bundle| *bundle.spec.signer_name == *signer)
        .filter(|bundle| {
            let labels = &bundle.metadata.labels;
            selector
                .as_ref()
                .is_some_and(|selector| selector.matches(|key| labels.get(key)))
        })
        .collect();
    if chosen.is_empty() && !optional {
        return Err(
            "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned(),
        );
    }
    Ok(normalized(chosen.iter().map(|bundle| &*bundle.spec.trust_bundle)))
}

fn plain(selector: &apis::LabelSelector) -> LabelSelector {
    let labels = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    LabelSelector {
        match_labels: labels
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        match_expressions: expressions
            .map(|expression| Expression {
                key: expression.key.as_str().into(),
                operator: expression.operator.as_str().into(),
                values: expression
                    .values
                    .iter()
                    .flatten()
                    .map(|value| value.as_str().into())
                    .collect(),
            })
            .collect(),
    }
}

/// Every certificate of the texts once, without whatever stands between them. Nobody should rely on their order: it is
/// another one in each process, but the same as long as the process lives, so that nothing is written without need.
fn normalized<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    static ORDER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let unique: FxHashSet<CertificateDer<'static>> = texts
        .into_iter()
        .flat_map(|text| CertificateDer::pem_slice_iter(text.as_bytes()).flatten())
        .collect();
    let mut ordered: Vec<CertificateDer<'static>> = unique.into_iter().collect();
    ordered.sort_by_cached_key(|certificate| ORDER.hash_one(certificate.as_ref()));
    ordered
        .iter()
        .flat_map(|certificate| pem("CERTIFICATE", certificate))
        .collect()
}

/// One PEM block (RFC 7468) in lines of 64.
pub(super) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in text.as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn block(body: &str) -> String {
        String::from_utf8(pem("CERTIFICATE", body.as_bytes())).unwrap()
    }

    fn bundles() -> Cache<Bundle> {
        let cache = Cache::detached(Vec::new());
        for (name, signer, env, bodies) in [
            ("plain", "", "", "ab"),
            ("x:s:1", "x/s", "prod", "bc"),
            ("x:s:2", "x/s", "test", "cd"),
            ("y:s:1", "y/s", "prod", "e"),
        ] {
            let text: Vec<String> = bodies
                .chars()
                .map(|body| format!("words between\n{}", block(&body.to_string())))
                .collect();
            let bundle = json!({"metadata": {"name": name, "resourceVersion": "1", "labels": {"env": env}},
                "spec": {"signerName": signer, "trustBundle": text.concat()}});
            cache.apply(serde_json::from_value(bundle).unwrap());
        }
        cache
    }

    fn shown(source: serde_json::Value) -> Result<String, String> {
        let text = anchors(&serde_json::from_value(source).unwrap(), &bundles())?;
        let mut bodies: Vec<String> = CertificateDer::pem_slice_iter(&text)
            .map(|der| String::from_utf8(der.unwrap().to_vec()).unwrap())
            .collect();
        let canonical: String = bodies.iter().map(|body| block(body)).collect();
        assert_eq!(String::from_utf8(text).unwrap(), canonical);
        bodies.sort();
        Ok(bodies.concat())
    }

    #[test]
    fn sources_choose_bundles_by_name_or_by_signer_and_labels() {
        let zero =
            Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned());
        let none =
            "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"no\" not found";
        for (source, want) in [
            (json!({"name": "plain"}), Ok("ab".to_owned())),
            (json!({"name": "no"}), Err(none.to_owned())),
            (json!({"name": "no", "optional": true}), Ok(String::new())),
            (
                json!({"signerName": "x/s", "labelSelector": {}}),
                Ok("bcd".to_owned()),
            ),
            (
                json!({"signerName": "x/s", "labelSelector": {"matchLabels": {"env": "test"}}}),
                Ok("cd".to_owned()),
            ),
            (
                json!({"signerName": "x/s", "labelSelector": {"matchExpressions": [
                    {"key": "env", "operator": "NotIn", "values": ["test"]}]}}),
                Ok("bc".to_owned()),
            ),
            (json!({"signerName": "x/s"}), zero.clone()),
            (json!({"signerName": "x/s", "optional": true}), Ok(String::new())),
            (json!({"signerName": "z/s", "labelSelector": {}}), zero),
        ] {
            let mut full = source.clone();
            full.as_object_mut().unwrap().insert("path".into(), json!("p"));
            assert_eq!(shown(full), want, "{source}");
        }
    }

    #[test]
    fn a_pod_looks_again_only_for_bundles_that_it_may_show() {
        let pod: core::Pod = serde_json::from_value(json!({"spec": {"containers": [], "volumes": [
            {"name": "v", "projected": {"sources": [
                {"clusterTrustBundle": {"name": "plain", "path": "a"}},
                {"clusterTrustBundle": {"signerName": "y/s", "path": "b"}}]}}]}}))
        .unwrap();
        let wanted = wanted(&pod).unwrap();
        let concerned = |name: &str| concerns("", &wanted, &bundles().get_named("", name).unwrap());
        assert!(concerned("plain") && concerned("y:s:1") && !concerned("x:s:1"));
        assert_eq!(super::wanted(&core::Pod::default()), None);
    }
}
