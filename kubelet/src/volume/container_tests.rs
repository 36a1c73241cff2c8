use super::*;
use serde_json::json;
use std::fs;

fn mounts(dir: &Path, volume_mounts: serde_json::Value) -> Result<Vec<Mount>, String> {
    let container: core::Container =
        serde_json::from_value(json!({"name": "c", "volumeMounts": volume_mounts})).unwrap();
    let volume = |path: &str, read_only| HostVolume {
        path: dir.join(path),
        read_only,
        ..HostVolume::default()
    };
    let image = HostVolume {
        image: Some("img:1".to_owned()),
        ..HostVolume::default()
    };
    let volumes = PodVolumes {
        by_name: [
            ("data".to_owned(), volume("data", false)),
            ("conf".to_owned(), volume("conf", true)),
            ("img".to_owned(), image),
        ]
        .into(),
    };
    let sources = Sources {
        folder: dir,
        container: &container,
        volumes: &volumes,
        env: &[("POD".to_owned(), "p1".to_owned())],
        recursive_read_only: false,
        relabel: false,
    };
    sources.mounts().map_err(|error| error.to_string())
}

#[test]
fn mounts_follow_the_spec() {
    let dir = tempfile::tempdir().unwrap();
    let got = mounts(
        dir.path(),
        json!([
            {"name": "data", "mountPath": "/data", "mountPropagation": "HostToContainer"},
            {"name": "data", "mountPath": "ro", "readOnly": true, "recursiveReadOnly": "IfPossible"},
            {"name": "conf", "mountPath": "/conf"},
            {"name": "img", "mountPath": "/img"},
        ]),
    )
    .unwrap();
    assert_eq!(got[0].host_path, dir.path().join("data").display().to_string());
    assert_eq!(
        got[0].propagation,
        MountPropagation::PropagationHostToContainer as i32
    );
    assert!(!got[0].readonly);
    assert_eq!(got[1].container_path, "/ro");
    assert!(got[1].readonly && !got[1].recursive_read_only);
    assert!(got[2].readonly);
    assert_eq!(got[3].image.as_ref().unwrap().image, "img:1");
    assert_eq!(got[3].host_path, "");
}

#[test]
fn what_cannot_be_mounted_is_told_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    for (mount, want) in [
        (
            json!({"name": "none", "mountPath": "/x"}),
            "cannot find volume \"none\" to mount into container \"c\"",
        ),
        (
            json!({"name": "data", "mountPath": "/x", "subPath": "/abs"}),
            "error SubPath `/abs` must not be an absolute path",
        ),
        (
            json!({"name": "data", "mountPath": "/x", "subPath": "a/../.."}),
            "unable to provision SubPath `a/../..`: must not contain '..'",
        ),
        (
            json!({"name": "data", "mountPath": "/x", "subPathExpr": "$(NONE)"}),
            "missing value for NONE",
        ),
        (
            json!({"name": "data", "mountPath": "/x", "readOnly": true, "recursiveReadOnly": "Enabled"}),
            "failed to resolve recursive read-only mode: volume \"data\" requested recursive read-only mode, \
             but it is not supported by the runtime",
        ),
    ] {
        assert_eq!(mounts(dir.path(), json!([mount])).unwrap_err(), want);
    }
}

/// Needs the right to mount.
#[test]
fn a_sub_path_is_made_and_bound() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let mount = json!([{"name": "data", "mountPath": "/x", "subPathExpr": "logs/$(POD)"}]);
    let got = mounts(dir.path(), mount.clone()).unwrap();
    let target = Path::new(&got[0].host_path);
    assert_eq!(target, dir.path().join("volume-subpaths/data/c/0"));
    fs::write(dir.path().join("data/logs/p1/f"), "1").unwrap();
    assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "1");
    assert_eq!(
        mounts(dir.path(), mount).unwrap(),
        got,
        "a second time changes nothing"
    );

    std::os::unix::fs::symlink("/etc", dir.path().join("data/out")).unwrap();
    let escape = json!([{"name": "data", "mountPath": "/x", "subPath": "out"}]);
    assert_eq!(
        mounts(dir.path(), escape).unwrap_err(),
        "failed to prepare subPath for volumeMount \"data\" of container \"c\""
    );
    super::super::set_up::take_down(dir.path()).unwrap();
    assert!(!dir.path().join("volume-subpaths").exists());
    assert!(dir.path().join("data/logs/p1/f").exists());
}
