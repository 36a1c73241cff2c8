use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::{Key, Layout, Slot};
use crate::assets::error::{At, Error};
use crate::assets::progress::Quiet;

fn slot(layout: &Layout, key: &str) -> Slot {
    Slot {
        name: "etcd".into(),
        path: layout.bin().join("etcd"),
        key: Key::of([("k", key.as_bytes())]),
    }
}

fn write(text: &'static str) -> impl FnOnce(&Path) -> Result<(), Error> {
    move |path| fs::write(path, text).at("write", path)
}

fn never(_: &Path) -> Result<(), Error> {
    panic!("it was there")
}

#[test]
fn a_key_tells_apart_what_differs_in_value_name_order_or_border() {
    let keys = [
        Key::of([("a", b"bc".as_slice()), ("d", b"")]),
        Key::of([("a", b"b".as_slice()), ("cd", b"")]),
        Key::of([("d", b"".as_slice()), ("a", b"bc")]),
        Key::of([("a", b"bc".as_slice())]),
        Key::of([("a", b"bd".as_slice()), ("d", b"")]),
    ];
    for (i, a) in keys.iter().enumerate() {
        for b in &keys[i + 1..] {
            assert_ne!(a, b);
        }
    }
    assert_eq!(keys[0], Key::of([("a", b"bc".as_slice()), ("d", b"")]));
}

#[test]
fn an_asset_is_made_once_per_key() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    slot(&layout, "1")
        .fill(&layout, &Quiet, "", write("one"))
        .unwrap();
    slot(&layout, "1").fill(&layout, &Quiet, "", never).unwrap();
    slot(&layout, "2")
        .fill(&layout, &Quiet, "", write("two"))
        .unwrap();
    assert_eq!(fs::read_to_string(layout.bin().join("etcd")).unwrap(), "two");
    assert!(!slot(&layout, "1").ready());
}

#[test]
fn a_failed_or_interrupted_making_leaves_the_old_asset_and_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    slot(&layout, "1")
        .fill(&layout, &Quiet, "", write("one"))
        .unwrap();
    let failed = slot(&layout, "2").fill(&layout, &Quiet, "", |part| {
        fs::write(part, "half").at("write", part)?;
        Err(Error::NotAsked { what: "etcd" })
    });
    assert!(failed.is_err());
    assert!(slot(&layout, "1").ready(), "the old one still stands");
    assert!(!layout.bin().join(".etcd.part").exists());

    fs::write(layout.bin().join(".etcd.part"), "killed here").unwrap();
    slot(&layout, "2")
        .fill(&layout, &Quiet, "", write("two"))
        .unwrap();
    assert_eq!(fs::read_to_string(layout.bin().join("etcd")).unwrap(), "two");
}

#[test]
fn an_asset_without_its_stamp_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    slot(&layout, "1")
        .fill(&layout, &Quiet, "", write("one"))
        .unwrap();
    fs::remove_file(layout.bin().join(".etcd.key")).unwrap();
    assert!(!slot(&layout, "1").ready());
}

#[test]
fn of_two_at_once_one_makes_it_and_the_other_waits() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                slot(&layout, "1")
                    .fill(&layout, &Quiet, "", |path| {
                        made.fetch_add(1, SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        write("one")(path)
                    })
                    .unwrap();
            });
        }
    });
    assert_eq!(made.load(SeqCst), 1);
}
