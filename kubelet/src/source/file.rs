//! Static pods: a folder (or one file), followed by inotify, read again now and then as the safety net.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use inotify::{Inotify, WatchMask};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::parse;
use crate::context::{Node, PodRef};
use crate::ledger::Statics;
use crate::pod::dispatch::Input;
use crate::pod::spec::CONFIG_SEEN;

/// Feeds the static pods there are to the dispatcher, at first and at each change.
pub async fn run(
    node: Arc<Node>,
    mut ledger: Statics,
    inputs: mpsc::UnboundedSender<Input>,
    stop: CancellationToken,
) {
    let path = PathBuf::from(&node.config.static_pod_path);
    let mut said: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut last: Option<Vec<String>> = None;
    let mut changes = follow(&path);
    loop {
        let pods = read(&path, &node.name, &mut said, &mut ledger);
        let uids: Vec<String> = pods.iter().filter_map(|p| p.metadata.uid.clone()).collect();
        if last.as_ref() != Some(&uids) {
            last = Some(uids);
            let _ = inputs.send(Input::Static(pods));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(node.config.file_check_frequency.0) => {
                if changes.is_none() {
                    changes = follow(&path);
                }
            }
            () = change(&mut changes) => {
                // An editor writes in steps: let it finish.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

type Changes = inotify::EventStream<Vec<u8>>;

fn follow(path: &Path) -> Option<Changes> {
    let inotify = Inotify::init().ok()?;
    let mask = WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::CREATE
        | WatchMask::ATTRIB
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF;
    inotify.watches().add(path, mask).ok()?;
    inotify.into_event_stream(vec![0; 4096]).ok()
}

async fn change(changes: &mut Option<Changes>) {
    let Some(stream) = changes else {
        return std::future::pending().await;
    };
    if stream.next().await.is_none_or(|event| event.is_err()) {
        *changes = None;
    }
}

fn read(path: &Path, node: &str, said: &mut BTreeMap<PathBuf, String>, ledger: &mut Statics) -> Vec<PodRef> {
    let mut files = Vec::new();
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let entries = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path());
            files.extend(entries.filter(|p| p.is_file() && !hidden(p)));
        }
        Ok(_) => files.push(path.to_owned()),
        Err(error) => {
            complain(said, path, format!("static pods: {error}"));
            return Vec::new();
        }
    }
    files.sort();
    said.retain(|p, _| files.contains(p));
    let mut pods: Vec<PodRef> = Vec::new();
    for file in files {
        let origin = file.to_string_lossy().into_owned();
        let pod = std::fs::read_to_string(&file)
            .map_err(|e| e.to_string())
            .and_then(|text| parse::pod(&text, &origin, node));
        match pod {
            Ok(mut pod) => {
                if said.remove(&file).is_some() {
                    info!(file = %file.display(), "static pod: the file can be read now");
                }
                ledger.settle(&mut pod);
                let seen = jiff::Timestamp::now().to_string();
                pod.metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(CONFIG_SEEN.into(), seen);
                let same = |p: &PodRef| {
                    p.metadata.name == pod.metadata.name && p.metadata.namespace == pod.metadata.namespace
                };
                if pods.iter().any(same) {
                    complain(
                        said,
                        &file,
                        "another file has a pod of this name: this one is left out".into(),
                    );
                } else {
                    pods.push(Arc::new(pod));
                }
            }
            Err(why) => complain(said, &file, format!("static pod: {why}")),
        }
    }
    ledger.save();
    pods
}

/// Once for each cause.
fn complain(said: &mut BTreeMap<PathBuf, String>, file: &Path, why: String) {
    if said.get(file) != Some(&why) {
        warn!(file = %file.display(), "{why}");
        said.insert(file.to_owned(), why);
    }
}

fn hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .is_none_or(|n| n.starts_with('.'))
}
