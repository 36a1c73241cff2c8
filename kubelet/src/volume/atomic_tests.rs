use super::super::payload::File;
use super::*;

fn payload(files: &[(&str, &str)]) -> Payload {
    files
        .iter()
        .map(|(path, data)| {
            (
                (*path).to_owned(),
                File {
                    data: data.as_bytes().to_vec(),
                    mode: 0o640,
                    user: None,
                },
            )
        })
        .collect()
}

fn put(volume: &Path, files: &[(&str, &str)]) -> bool {
    write(volume, &payload(files), || Ok(())).unwrap()
}

/// What a reader sees: path and text of every file, without the writer's own names.
fn seen(volume: &Path) -> Vec<(String, String)> {
    fn walk(at: &Path, below: &str, out: &mut Vec<(String, String)>) {
        let mut names: Vec<_> = fs::read_dir(at)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in names
            .into_iter()
            .filter(|name| !(below.is_empty() && name.starts_with("..")))
        {
            let path = at.join(&name);
            let shown = format!("{below}{name}");
            if path.is_dir() {
                walk(&path, &format!("{shown}/"), out);
            } else {
                out.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = vec![];
    walk(volume, "", &mut out);
    out
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn files_appear_through_links() {
    let dir = tempfile::tempdir().unwrap();
    assert!(put(dir.path(), &[("a", "1"), ("deep/er/b", "2")]));
    assert_eq!(seen(dir.path()), pairs(&[("a", "1"), ("deep/er/b", "2")]));
    assert_eq!(
        fs::read_link(dir.path().join("deep")).unwrap(),
        Path::new("..data/deep")
    );
    let mode = fs::metadata(dir.path().join("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn the_same_payload_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("a", "1")]);
    let before = fs::read_link(dir.path().join(DATA)).unwrap();
    assert!(!put(dir.path(), &[("a", "1")]));
    assert_eq!(fs::read_link(dir.path().join(DATA)).unwrap(), before);
}

#[test]
fn a_change_swaps_the_folder_and_removes_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[("a", "1"), ("gone", "x"), ("d/gone", "x"), ("d/kept", "1")],
    );
    let before = fs::read_link(dir.path().join(DATA)).unwrap();
    assert!(put(dir.path(), &[("a", "2"), ("new", "3"), ("d/kept", "1")]));
    assert_eq!(
        seen(dir.path()),
        pairs(&[("a", "2"), ("d/kept", "1"), ("new", "3")])
    );
    assert!(!dir.path().join(before).exists());
    assert!(fs::symlink_metadata(dir.path().join("gone")).is_err());
}

#[test]
fn an_empty_payload_leaves_an_empty_volume() {
    let dir = tempfile::tempdir().unwrap();
    assert!(put(dir.path(), &[]));
    assert!(seen(dir.path()).is_empty());
    assert!(dir.path().join(DATA).is_dir());
}

#[test]
fn a_crash_at_any_step_is_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("a", "1")]);
    fs::create_dir(dir.path().join("..2020_01_01_00_00_00.1")).unwrap();
    symlink("..2020_01_01_00_00_00.1", dir.path().join(NEW_DATA)).unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    assert!(!put(dir.path(), &[("a", "1")]));
    assert_eq!(seen(dir.path()), pairs(&[("a", "1")]));
    assert!(put(dir.path(), &[("a", "2")]));
    assert_eq!(seen(dir.path()), pairs(&[("a", "2")]));
}

#[test]
fn what_cannot_be_owned_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("a", "1")]);
    let refused = write(dir.path(), &payload(&[("a", "2")]), || {
        Err(io::Error::other("no"))
    });
    assert!(refused.is_err());
    assert_eq!(seen(dir.path()), pairs(&[("a", "1")]));
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 3, "a, ..data and its folder");
}

proptest::proptest! {
    #[test]
    fn a_volume_holds_what_was_written_last(
        writes in proptest::collection::vec(
            proptest::collection::btree_map("[ab]|d/[ab]|e/f/[ab]", "[xy]{0,2}", 0..4), 1..4)
    ) {
        let dir = tempfile::tempdir().unwrap();
        for files in writes {
            let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
            put(dir.path(), &files);
            proptest::prop_assert_eq!(seen(dir.path()), pairs(&files));
        }
    }
}
