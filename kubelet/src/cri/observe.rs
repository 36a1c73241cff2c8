//! Reads one pod from the runtime into plain data.
//!
//! A container that has ended does not change any more: what was read of it is kept.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use jiff::Timestamp;

use super::api;
use super::client::{CriError, Runtime};
use super::labels::{self, ContainerNotes};
use crate::pod::observed::{Actual, Container, Observed, RunState, Sandbox, User};

/// The longest termination message out of a file, bytes.
const FILE_MESSAGE: u64 = 4096;
/// The longest out of a log, bytes and lines.
const LOG_MESSAGE: usize = 2048;
const LOG_LINES: usize = 80;

/// Everything of the pod `uid`; `before` is what was read last time.
///
/// # Errors
/// When the runtime does not answer.
pub async fn pod(runtime: &Runtime, uid: &str, before: &Observed) -> Result<Observed, CriError> {
    let (sandboxes, containers) =
        tokio::try_join!(runtime.sandboxes(Some(uid)), runtime.containers(Some(uid)))?;
    let sandboxes = sandboxes.iter().map(|item| async move {
        let known = before.sandboxes.iter().find(|s| *s.id == *item.id && !s.ready);
        match known {
            Some(known) if item.state != api::PodSandboxState::SandboxReady as i32 => Ok(Some(known.clone())),
            _ => Ok::<_, CriError>(
                there(runtime.sandbox_status(&item.id).await)?.map(|status| sandbox(&status)),
            ),
        }
    });
    let containers = containers.iter().map(|item| async move {
        let known = before
            .containers
            .iter()
            .find(|c| *c.id == *item.id && c.state == RunState::Exited);
        match known {
            Some(known) => Ok(Some(known.clone())),
            None => read(runtime, &item.id, &item.pod_sandbox_id).await,
        }
    });
    let (sandboxes, containers) = tokio::try_join!(try_join_all(sandboxes), try_join_all(containers))?;
    let mut out = Observed {
        sandboxes: sandboxes.into_iter().flatten().collect(),
        containers: containers.into_iter().flatten().collect(),
    };
    out.sort();
    Ok(out)
}

/// What was seen of a pod, with those of its containers read again that ran then.
///
/// # Errors
/// When the runtime does not answer.
pub async fn containers_again(runtime: &Runtime, before: &Observed) -> Result<Observed, CriError> {
    let ran = |c: &Container| matches!(c.state, RunState::Running | RunState::Unknown);
    let containers = before.containers.iter().map(|c| async move {
        if ran(c) {
            read(runtime, &c.id, &c.sandbox).await
        } else {
            Ok(Some(c.clone()))
        }
    });
    let mut out = Observed {
        sandboxes: before.sandboxes.clone(),
        containers: try_join_all(containers).await?.into_iter().flatten().collect(),
    };
    out.sort();
    Ok(out)
}

/// One container, if there is such.
///
/// # Errors
/// When the runtime does not answer.
pub async fn read(runtime: &Runtime, id: &str, sandbox: &str) -> Result<Option<Container>, CriError> {
    let status = there(runtime.container_status(id).await)?;
    Ok(status.map(|status| container(&status, sandbox)))
}

/// One that is gone is none.
fn there<T>(answer: Result<Option<T>, CriError>) -> Result<Option<T>, CriError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(None),
        answer => answer,
    }
}

/// A sandbox's status.
#[must_use]
pub fn sandbox(status: &api::PodSandboxStatus) -> Sandbox {
    let options = status
        .linux
        .as_ref()
        .and_then(|l| l.namespaces.as_ref())
        .and_then(|n| n.options.as_ref());
    let mut ips = Vec::new();
    if let Some(network) = &status.network {
        let more = network.additional_ips.iter().map(|ip| ip.ip.as_str());
        ips.extend(
            std::iter::once(network.ip.as_str())
                .chain(more)
                .filter_map(|ip| ip.parse::<std::net::IpAddr>().ok()),
        );
    }
    Sandbox {
        id: status.id.as_str().into(),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        ready: status.state == api::PodSandboxState::SandboxReady as i32,
        host_network: options.is_some_and(|o| o.network == api::NamespaceMode::Node as i32),
        has_network: status.network.is_some(),
        ips,
        created_at: nanos(status.created_at),
    }
}

/// A container's status, with its last words.
#[must_use]
pub fn container(status: &api::ContainerStatus, sandbox: &str) -> Container {
    let notes = ContainerNotes::read(&status.annotations);
    let state = match api::ContainerState::try_from(status.state) {
        Ok(api::ContainerState::ContainerCreated) => RunState::Created,
        Ok(api::ContainerState::ContainerRunning) => RunState::Running,
        Ok(api::ContainerState::ContainerExited) => RunState::Exited,
        _ => RunState::Unknown,
    };
    let mut message = status.message.clone();
    if state == RunState::Exited {
        let words = last_words(status, &notes);
        if !words.is_empty() {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&words);
        }
    }
    let image = status.image.as_ref();
    Container {
        id: status.id.as_str().into(),
        name: status
            .labels
            .get(labels::CONTAINER_NAME)
            .map(String::as_str)
            .unwrap_or_default()
            .into(),
        sandbox: sandbox.into(),
        state,
        hash: notes.hash,
        restart_count: notes.restart_count,
        created_at: nanos(status.created_at),
        started_at: nanos(status.started_at),
        finished_at: nanos(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message,
        image: image.map(|i| i.image.clone()).unwrap_or_default(),
        image_ref: status.image_ref.clone(),
        log_path: Arc::from(status.log_path.as_str()),
        user: status.user.as_ref().and_then(|u| u.linux.as_ref()).map(|u| User {
            uid: u.uid,
            gid: u.gid,
            groups: u.supplemental_groups.clone(),
        }),
        resources: actual(status.resources.as_ref().and_then(|r| r.linux.as_ref())),
    }
}

fn actual(linux: Option<&api::LinuxContainerResources>) -> Actual {
    let Some(r) = linux else { return Actual::default() };
    Actual {
        cpu_limit_millis: (r.cpu_period > 0 && r.cpu_quota > 0).then(|| r.cpu_quota * 1000 / r.cpu_period),
        cpu_request_millis: (r.cpu_shares > 0).then(|| (r.cpu_shares * 1000 + 1023) / 1024),
        memory_limit: Some(r.memory_limit_in_bytes).filter(|b| *b > 0),
    }
}

fn nanos(n: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(n)).unwrap_or_default()
}

/// What the container left in its termination message file or, failing that and if wanted, at the end of its log.
fn last_words(status: &api::ContainerStatus, notes: &ContainerNotes) -> String {
    let fall_back = notes.fall_back_to_logs && status.exit_code != 0 && status.reason != "ContainerCannotRun";
    let path = &notes.termination_message_path;
    let mount = status
        .mounts
        .iter()
        .find(|m| !path.is_empty() && m.container_path == *path);
    if let Some(mount) = mount {
        match tail(Path::new(&mount.host_path), FILE_MESSAGE) {
            Ok(words) if !words.is_empty() => return words,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return format!("Error on reading termination log {}: {error}", mount.host_path),
        }
    }
    if !fall_back {
        return String::new();
    }
    match tail(Path::new(&status.log_path), 64 << 10) {
        Ok(log) => end_of_log(&log),
        Err(error) => format!("Error on reading termination message from logs: {error}"),
    }
}

fn tail(path: &Path, most: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The messages of the last lines of a CRI log (`TIME STREAM TAG MESSAGE`).
fn end_of_log(log: &str) -> String {
    let mut out = String::new();
    let lines: Vec<&str> = log.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        let mut parts = line.splitn(4, ' ');
        let (Some(_), Some("stdout" | "stderr"), Some(tag), Some(message)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        out.push_str(message);
        if tag != "P" {
            out.push('\n');
        }
    }
    let mut start = out.len().saturating_sub(LOG_MESSAGE);
    while !out.is_char_boundary(start) {
        start += 1;
    }
    out.split_off(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_messages() {
        let log = "cut line\n2024-01-01T00:00:00Z stdout F one\n2024-01-01T00:00:00Z stderr P tw\n2024-01-01T00:00:00Z stderr F o\n";
        assert_eq!(end_of_log(log), "one\ntwo\n");
        let long = format!("t stdout F {}\n", "x".repeat(5000));
        assert_eq!(end_of_log(&long).len(), LOG_MESSAGE);
    }

    #[test]
    fn last_words_come_from_the_file_and_fall_back_to_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("msg"), dir.path().join("0.log"));
        std::fs::write(&file, "").unwrap();
        std::fs::write(&log, "t stderr F boom\n").unwrap();
        let status = |exit_code, policy: &str| api::ContainerStatus {
            exit_code,
            log_path: log.display().to_string(),
            state: api::ContainerState::ContainerExited as i32,
            mounts: vec![api::Mount {
                container_path: "/dev/termination-log".into(),
                host_path: file.display().to_string(),
                ..Default::default()
            }],
            annotations: [
                (
                    labels::TERMINATION_MESSAGE_PATH.to_owned(),
                    "/dev/termination-log".to_owned(),
                ),
                (labels::TERMINATION_MESSAGE_POLICY.to_owned(), policy.to_owned()),
            ]
            .into(),
            ..Default::default()
        };
        assert_eq!(
            container(&status(1, "FallbackToLogsOnError"), "s").message,
            "boom\n"
        );
        assert_eq!(container(&status(0, "FallbackToLogsOnError"), "s").message, "");
        assert_eq!(container(&status(1, "File"), "s").message, "");
        std::fs::write(&file, "done").unwrap();
        assert_eq!(
            container(&status(1, "FallbackToLogsOnError"), "s").message,
            "done"
        );
    }
}
