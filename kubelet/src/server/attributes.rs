//! What a request to the kubelet is for, in the authorizer's words: a subresource of our Node.
//!
//! The fine-grained subresources (KEP-2862) come first, so that who may read `nodes/pods` need not have `nodes/proxy`,
//! which is the right to run commands.

use http::Method;
use http::request::Parts;
use machinery::component::auth::Attributes;

/// The attributes to check, the narrower first; one that is allowed is enough.
pub(super) fn of(parts: &Parts, node: &str) -> Vec<Attributes> {
    let verb = match parts.method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        // No rule grants it.
        _ => "",
    };
    subresources(parts.uri.path())
        .iter()
        .map(|subresource| Attributes::Resource {
            verb: verb.to_owned(),
            group: String::new(),
            version: "v1".to_owned(),
            resource: "nodes".to_owned(),
            subresource: (*subresource).to_owned(),
            namespace: String::new(),
            name: node.to_owned(),
        })
        .collect()
}

fn subresources(path: &str) -> &'static [&'static str] {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    // A path that does not begin with one slash is none of ours.
    match first {
        _ if !path.starts_with('/') || path.starts_with("//") => &["proxy"],
        "pods" | "runningpods" | "allocatedPods" => &["pods", "proxy"],
        "healthz" => &["healthz", "proxy"],
        "configz" => &["configz", "proxy"],
        "flagz" => &["configz"],
        "stats" => &["stats"],
        "metrics" => &["metrics"],
        "logs" => &["log"],
        "checkpoint" => &["checkpoint"],
        "statusz" => &["statusz"],
        _ => &["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_subresources_of_the_node() {
        for (path, want) in [
            ("/pods", &["pods", "proxy"][..]),
            ("/pods/", &["pods", "proxy"]),
            ("/podsx", &["proxy"]),
            ("/runningpods/", &["pods", "proxy"]),
            ("/healthz/ping", &["healthz", "proxy"]),
            ("/configz", &["configz", "proxy"]),
            ("/stats/summary", &["stats"]),
            ("/metrics", &["metrics"]),
            ("/metrics/cadvisor", &["metrics"]),
            ("/logs/", &["log"]),
            ("/checkpoint/ns/p/c", &["checkpoint"]),
            ("/exec/ns/p/c", &["proxy"]),
            ("/containerLogs/ns/p/c", &["proxy"]),
            ("//metrics", &["proxy"]),
            ("/", &["proxy"]),
        ] {
            assert_eq!(subresources(path), want, "{path}");
        }
    }

    #[test]
    fn methods_are_verbs() {
        for (method, want) in [
            ("GET", "get"),
            ("POST", "create"),
            ("HEAD", ""),
            ("DELETE", "delete"),
        ] {
            let parts = http::Request::builder()
                .method(method)
                .uri("/exec/a/b/c")
                .body(())
                .unwrap()
                .into_parts()
                .0;
            let got = of(&parts, "n1");
            let [
                Attributes::Resource {
                    verb, resource, name, ..
                },
            ] = got.as_slice()
            else {
                panic!("{got:?}")
            };
            assert_eq!(
                (verb.as_str(), resource.as_str(), name.as_str()),
                (want, "nodes", "n1")
            );
        }
    }
}
