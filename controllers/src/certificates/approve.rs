//! Which requests are kubelets', and what their users must be allowed.

use super::request::SigningRequest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// A right that approves a request: `create` on this subresource of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    pub subresource: &'static str,
    pub message: &'static str,
}

const RENEW: Right = Right {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const JOIN: Right = Right {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// The request holds no PKCS #10 request.
#[derive(Debug, thiserror::Error)]
#[error("unable to parse the request: {0}")]
pub struct NotParsed(String);

/// The rights of which one approves the request, in the order in which they are asked for. None for a request that is decided, or not
/// a kubelet's.
///
/// # Errors
/// See [`NotParsed`].
pub fn rights(request: &SigningRequest) -> Result<Vec<Right>, NotParsed> {
    let decided = request.is_issued()
        || ["Approved", "Denied"]
            .iter()
            .any(|kind| request.told(kind).is_some());
    if decided || request.spec.signer_name != SIGNER {
        return Ok(Vec::new());
    }
    let pem = request
        .request()
        .ok_or_else(|| NotParsed("it is not in base64".to_owned()))?;
    let (_, pem) = parse_x509_pem(&pem).map_err(|cause| NotParsed(cause.to_string()))?;
    let (_, parsed) =
        X509CertificationRequest::from_der(&pem.contents).map_err(|cause| NotParsed(cause.to_string()))?;
    let subject = &parsed.certification_request_info.subject;
    let name = subject
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .unwrap_or_default();
    let organizations: Vec<_> = subject
        .iter_organization()
        .map(|name| name.as_str().unwrap_or_default())
        .collect();
    let is_node = organizations == ["system:nodes"]
        && name.starts_with("system:node:")
        && !names_others(&parsed)
        && has_client_usages(request);
    Ok(match (is_node, name == request.spec.username) {
        (false, _) => Vec::new(),
        (true, false) => vec![JOIN],
        (true, true) => vec![RENEW, JOIN],
    })
}

/// Whether the request asks for alternative names.
fn names_others(parsed: &X509CertificationRequest<'_>) -> bool {
    parsed
        .requested_extensions()
        .into_iter()
        .flatten()
        .any(|extension| {
            let ParsedExtension::SubjectAlternativeName(names) = extension else {
                return false;
            };
            names.general_names.iter().any(|name| {
                matches!(
                    name,
                    GeneralName::DNSName(_)
                        | GeneralName::RFC822Name(_)
                        | GeneralName::IPAddress(_)
                        | GeneralName::URI(_)
                )
            })
        })
}

fn has_client_usages(request: &SigningRequest) -> bool {
    let mut usages: Vec<&str> = request.spec.usages.iter().map(|usage| &**usage).collect();
    usages.sort_unstable();
    usages.dedup();
    usages == ["client auth", "digital signature"]
        || usages == ["client auth", "digital signature", "key encipherment"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::{Value, json};

    fn request(
        name: &str,
        organization: &str,
        host: Option<&str>,
        change: impl FnOnce(&mut Value),
    ) -> SigningRequest {
        let hosts: Vec<String> = host.map(str::to_owned).into_iter().collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        let pem = params
            .serialize_request(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
            .unwrap();
        let mut object = json!({ "metadata": { "name": "r" }, "spec": { "signerName": SIGNER, "username": "bootstrap",
            "usages": ["digital signature", "client auth"],
            "request": base64::engine::general_purpose::STANDARD.encode(pem) } });
        change(&mut object);
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn kubelets_ask_for_certificates_of_their_own() {
        let node = |change: fn(&mut Value)| request("system:node:n1", "system:nodes", None, change);
        let of = |request: &SigningRequest| {
            rights(request)
                .unwrap()
                .iter()
                .map(|right| right.subresource)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&node(|_| {})), ["nodeclient"]);
        assert_eq!(
            of(&node(|r| r["spec"]["username"] = "system:node:n1".into())),
            ["selfnodeclient", "nodeclient"]
        );
        for wrong in [
            node(|r| r["spec"]["signerName"] = "example.com/x".into()),
            node(|r| r["spec"]["usages"] = json!(["client auth"])),
            node(|r| r["spec"]["usages"] = json!(["digital signature", "client auth", "server auth"])),
            node(|r| r["status"] = json!({ "conditions": [{ "type": "Denied" }] })),
            node(|r| r["status"] = json!({ "certificate": "eA==" })),
            request("admin", "system:nodes", None, |_| {}),
            request("system:node:n1", "system:masters", None, |_| {}),
            request("system:node:n1", "system:nodes", Some("n1.example.com"), |_| {}),
        ] {
            assert!(of(&wrong).is_empty());
        }
        assert!(rights(&node(|r| r["spec"]["request"] = "eA==".into())).is_err());
    }
}
