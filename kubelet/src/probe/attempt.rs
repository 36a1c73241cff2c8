//! Makes one attempt: exec, HTTP, TCP or gRPC.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Outcome, http};
use crate::cri::Runtime;
use crate::env::expand;

/// Output kept for events, bytes.
pub const OUTPUT: usize = 10 * 1024;

/// Whom an attempt is made on.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The container.
    pub container: &'a core::Container,
    /// Its id.
    pub id: &'a str,
    /// The pod's address.
    pub pod_ip: Option<IpAddr>,
}

/// One attempt, no longer than `limit`.
pub async fn attempt(runtime: &Runtime, probe: &core::Probe, target: Target<'_>, limit: Duration) -> Outcome {
    if let Some(exec) = &probe.exec {
        return command(runtime, exec, target, limit).await;
    }
    if let Some(get) = &probe.http_get {
        let request = match http::Request::new(get, target.container, target.pod_ip, "kube-probe") {
            Ok(request) => request,
            Err(why) => return Outcome::Error(why),
        };
        return match timeout(limit, http::get(&request)).await {
            Ok(Ok(answer)) => answer.outcome(),
            Ok(Err(why)) => Outcome::Failure(format!("Get {:?}: {why}", request.url())),
            Err(_) => Outcome::Failure(format!(
                "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                request.url()
            )),
        };
    }
    let Some(ip) = target.pod_ip else {
        return Outcome::Error("the pod has no address".into());
    };
    if let Some(tcp) = &probe.tcp_socket {
        let Some(port) = port(&tcp.port, target.container) else {
            return Outcome::Error(format!("couldn't find port: {:?}", tcp.port));
        };
        let host = tcp
            .host
            .clone()
            .filter(|h| !h.is_empty())
            .unwrap_or_else(|| ip.to_string());
        return match timeout(limit, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => Outcome::Success(None),
            Ok(Err(error)) => Outcome::Failure(format!("dial tcp {host}:{port}: {}", words(&error))),
            Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let service = grpc.service.as_deref().unwrap_or_default();
        let port = u16::try_from(grpc.port).unwrap_or_default();
        return match timeout(limit, http::grpc_health(ip, port, service)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failure(format!(
                "timeout: failed to connect service \"{ip}:{port}\" within {limit:?}: context deadline exceeded"
            )),
        };
    }
    Outcome::Error("the probe has no handler".into())
}

async fn command(runtime: &Runtime, exec: &core::ExecAction, target: Target<'_>, limit: Duration) -> Outcome {
    let env: Vec<(String, String)> = target
        .container
        .env
        .iter()
        .flatten()
        .map(|e| (e.name.clone(), e.value.clone().unwrap_or_default()))
        .collect();
    let cmd: Vec<String> = exec
        .command
        .iter()
        .flatten()
        .map(|word| expand(word, &env))
        .collect();
    match runtime.exec_sync(target.id, cmd.clone(), limit).await {
        Ok(done) => {
            let mut output = done.stdout;
            output.extend_from_slice(&done.stderr);
            output.truncate(OUTPUT);
            let output = String::from_utf8_lossy(&output).into_owned();
            if done.exit_code == 0 {
                Outcome::Success(None)
            } else {
                Outcome::Failure(output)
            }
        }
        Err(error) if error.code() == tonic::Code::DeadlineExceeded => {
            let cmd = cmd.join(" ");
            Outcome::Failure(format!(
                "command timed out: {cmd:?} timed out after {}s",
                limit.as_secs()
            ))
        }
        Err(error) => Outcome::Error(error.message()),
    }
}

/// A port by number or by its name in the container.
#[must_use]
pub fn port(port: &IntOrString, container: &core::Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|p| p.name.as_deref() == Some(name))
            .map(|p| p.container_port)
            .or_else(|| name.parse().ok())?,
    };
    u16::try_from(number).ok().filter(|p| *p > 0)
}

/// A connection error as Go words it.
pub(super) fn words(error: &std::io::Error) -> String {
    let words = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused",
        std::io::ErrorKind::ConnectionReset => "connection reset by peer",
        std::io::ErrorKind::HostUnreachable => "no route to host",
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable",
        _ => return error.to_string(),
    };
    format!("connect: {words}")
}

/// The GET of a hook: any answer will do.
///
/// # Errors
/// When there is none.
pub async fn get(
    action: &core::HTTPGetAction,
    container: &core::Container,
    pod_ip: Option<IpAddr>,
    agent: &str,
) -> Result<(), String> {
    let request = http::Request::new(action, container, pod_ip, agent)?;
    match http::get(&request).await {
        Ok(_) => Ok(()),
        // An HTTPS hook on a server that speaks plain HTTP is asked again that way, as upstream does.
        Err(why) if why.contains("server gave HTTP response") => {
            let mut plain = action.clone();
            plain.scheme = Some("HTTP".into());
            plain.http_headers.iter_mut().flatten().for_each(|h| {
                if h.name.eq_ignore_ascii_case("authorization") {
                    h.value.clear();
                }
            });
            http::get(&http::Request::new(&plain, container, pod_ip, agent)?)
                .await
                .map(drop)
        }
        Err(why) => Err(why),
    }
}
