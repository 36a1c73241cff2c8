//! Keeps container logs to their size: the full log is renamed, older ones are compressed, the oldest go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use machinery::arith::quantity::Quantity;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::context::Node;

/// Looks at the logs of running containers every `containerLogMonitorInterval`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let config = &node.config;
    let max = config
        .container_log_max_size
        .parse::<Quantity>()
        .map_or(0, |q| q.value());
    let Some(max) = u64::try_from(max).ok().filter(|m| *m > 0) else {
        return;
    };
    let keep = usize::try_from(config.container_log_max_files).unwrap_or(5);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(config.container_log_monitor_interval.0) => {}
        }
        for pod in node.pods.list() {
            for container in pod.containers.iter().filter(|c| c.running) {
                let path = PathBuf::from(&*container.log_path);
                if fs::metadata(&path).is_ok_and(|m| m.len() >= max) {
                    rotate(&node, &container.id, path, keep).await;
                }
            }
        }
    }
}

async fn rotate(node: &Node, id: &str, path: PathBuf, keep: usize) {
    let log = path.clone();
    // One name for the full log and one for the new one are kept beside `keep - 2` old ones.
    let tidied = tokio::task::spawn_blocking(move || tidy(&log, keep.saturating_sub(2))).await;
    if let Ok(Err(error)) = tidied {
        debug!(log = %path.display(), %error, "older parts of a log");
    }
    let now = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut aside = path.clone().into_os_string();
    aside.push(format!(".{now}"));
    let aside = PathBuf::from(aside);
    if let Err(error) = fs::rename(&path, &aside) {
        warn!(log = %path.display(), %error, "rotating a log");
        return;
    }
    if let Err(error) = node.cri.reopen_log(id).await {
        warn!(log = %path.display(), %error, "the runtime does not open the log anew: it is left as it was");
        let _ = fs::rename(&aside, &path);
    }
}

/// Parts of a log, oldest first: `0.log.20240102-150405`, `.gz` when compressed.
fn parts(log: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    let mut out: Vec<PathBuf> = entries
        .filter(|p| {
            p.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with(&prefix))
        })
        .collect();
    out.sort();
    out
}

/// Removes parts beyond `keep` and half-made ones, compresses the others but for the newest.
fn tidy(log: &Path, keep: usize) -> io::Result<()> {
    let mut old = parts(log);
    for path in old.extract_if(.., |p| p.extension().is_some_and(|e| e == "tmp")) {
        fs::remove_file(path)?;
    }
    while old.len() > keep {
        fs::remove_file(old.remove(0))?;
    }
    for path in old.iter().filter(|p| p.extension().is_none_or(|e| e != "gz")) {
        let name = |suffix: &str| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let tmp = name(".tmp");
        let mut encoder = GzEncoder::new(fs::File::create(&tmp)?, Compression::default());
        io::copy(&mut fs::File::open(path)?, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        fs::rename(&tmp, name(".gz"))?;
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_parts_go_and_the_others_are_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        for part in [
            "0.log",
            "0.log.20240101-000000.gz",
            "0.log.20240102-000000",
            "0.log.20240103-000000",
            "0.log.x.tmp",
            "1.log.y",
        ] {
            fs::write(dir.path().join(part), part).unwrap();
        }
        tidy(&log, 2).unwrap();
        let names: Vec<String> = parts(&log)
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["0.log.20240102-000000.gz", "0.log.20240103-000000.gz"]);
        assert!(dir.path().join("1.log.y").exists());
    }
}
