use super::*;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn line(text: &str) -> String {
    format!("2026-01-01T00:00:01.5Z stdout F {text}\n")
}

async fn all(path: &Path, options: &Options) -> String {
    let (sender, mut receiver) = mpsc::channel(4);
    let reader = Reader::open(path, options).unwrap();
    let run = async move { reader.run(&sender, || false).await.unwrap() };
    let mut text = Vec::new();
    let collect = async {
        while let Some(piece) = receiver.recv().await {
            text.extend(piece.unwrap());
        }
    };
    tokio::join!(run, collect);
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_finished_log_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let many: String = (0..2000).map(|n| line(&n.to_string())).collect();
    fs::write(&path, many + "2026-01-01T00:00:01Z stdout F no newline").unwrap();
    let text = all(&path, &Options::default()).await;
    assert_eq!(text.lines().count(), 2001);
    assert!(text.starts_with("0\n1\n") && text.ends_with("1999\nno newline"));
    // The half line at the end is no line of the tail, but the log does not end before it.
    assert_eq!(
        all(
            &path,
            &Options {
                tail: Some(2),
                ..Options::default()
            }
        )
        .await,
        "1998\n1999\n"
    );
    assert_eq!(
        all(
            &path,
            &Options {
                tail: Some(0),
                ..Options::default()
            }
        )
        .await,
        ""
    );
    assert_eq!(
        all(
            &path,
            &Options {
                limit: Some(3),
                ..Options::default()
            }
        )
        .await,
        "0\n1"
    );
    // Following what has ended is reading.
    assert_eq!(
        all(
            &path,
            &Options {
                follow: true,
                ..Options::default()
            }
        )
        .await
        .lines()
        .count(),
        2001
    );
}

#[tokio::test]
async fn a_followed_log_is_read_as_it_is_written_and_across_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    fs::write(&path, line("first")).unwrap();
    let running = Arc::new(AtomicBool::new(true));
    let (sender, mut receiver) = mpsc::channel(4);
    let reader = Reader::open(
        &path,
        &Options {
            follow: true,
            ..Options::default()
        },
    )
    .unwrap();
    let seen = Arc::clone(&running);
    let task = tokio::spawn(async move { reader.run(&sender, || seen.load(Ordering::SeqCst)).await });
    let mut next = async || {
        let piece = tokio::time::timeout(Duration::from_secs(5), receiver.recv())
            .await
            .unwrap();
        piece.map(|piece| String::from_utf8(piece.unwrap()).unwrap())
    };
    assert_eq!(next().await.as_deref(), Some("first\n"));

    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let second = line("second");
    let (head, rest) = second.split_at(30);
    file.write_all(head.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    file.write_all(rest.as_bytes()).unwrap();
    assert_eq!(next().await.as_deref(), Some("second\n"));

    fs::rename(&path, dir.path().join("0.log.1")).unwrap();
    file.write_all(line("late").as_bytes()).unwrap();
    assert_eq!(next().await.as_deref(), Some("late\n"));
    fs::write(&path, line("new file")).unwrap();
    assert_eq!(next().await.as_deref(), Some("new file\n"));

    running.store(false, Ordering::SeqCst);
    assert_eq!(next().await, None);
    task.await.unwrap().unwrap();
}
