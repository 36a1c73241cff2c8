use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Config, write};
use crate::assets::layer::{Layer, Writer, digest};

const NAMES: &[&str] = &["example.test/a:1.0", "example.test/a:2.0"];

fn layer(path: &Path) -> Layer {
    let mut writer = Writer::create(path).unwrap();
    writer.folder("uploads", 0o755).unwrap();
    writer.bytes("etc/motd", 0o644, b"hello").unwrap();
    writer.link("agnhost-2", "agnhost").unwrap();
    writer.finish().unwrap()
}

fn archive() -> (tempfile::TempDir, HashMap<String, Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.tar");
    let config = Config {
        entrypoint: &["/agnhost"],
        cmd: &["pause"],
        ..Config::default()
    };
    write(&out, NAMES, &config, &layer(&dir.path().join("layer"))).unwrap();
    let mut files = HashMap::new();
    for entry in tar::Archive::new(File::open(&out).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), content);
    }
    (dir, files)
}

fn follow(files: &HashMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    let content = &files[&name];
    assert_eq!(descriptor["size"], content.len());
    assert_eq!(
        format!("blobs/sha256/{}", digest(content.as_slice()).unwrap().0),
        name
    );
    content.clone()
}

#[test]
fn every_name_leads_to_its_own_config_and_the_shared_layer() {
    let (_dir, files) = archive();
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let mut configs = Vec::new();
    for (i, descriptor) in index["manifests"].as_array().unwrap().iter().enumerate() {
        assert_eq!(descriptor["annotations"]["io.containerd.image.name"], NAMES[i]);
        let manifest: Value = serde_json::from_slice(&follow(&files, descriptor)).unwrap();
        let config: Value = serde_json::from_slice(&follow(&files, &manifest["config"])).unwrap();
        let layer = follow(&files, &manifest["layers"][0]);
        assert_eq!(config["config"]["Entrypoint"][0], "/agnhost");
        assert_eq!(config["config"]["Cmd"][0], "pause");
        assert!(config["config"].get("User").is_none());
        // An uncompressed layer is its own diff.
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert!(layer.windows(5).any(|w| w == b"hello"));
        configs.push(manifest["config"]["digest"].clone());
    }
    assert_eq!(configs.len(), 2);
    assert_ne!(
        configs[0], configs[1],
        "two versions must differ, or a rollout between them pulls nothing"
    );
    assert_eq!(files.len(), 2 + 2 * 2 + 1);
}

#[test]
fn the_same_entries_give_the_same_layer() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (layer(&dir.path().join("a")), layer(&dir.path().join("b")));
    assert_eq!((a.digest.as_str(), a.size), (b.digest.as_str(), b.size));
    assert_eq!(
        digest(File::open(&a.path).unwrap()).unwrap(),
        (a.digest, fs::metadata(&a.path).unwrap().len())
    );
}

#[test]
fn a_tree_keeps_links_owners_modes_and_long_names_and_loses_its_devices() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree.tar");
    let long = format!("./usr/{}/end", "x".repeat(150));
    let mut tar = tar::Builder::new(File::create(&tree).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o4755);
    header.set_uid(1000);
    header.set_mtime(7);
    tar.append_data(&mut header.clone(), &long, b"hi".as_slice())
        .unwrap();
    tar.append_data(&mut header.clone(), "./usr/su", b"hi".as_slice())
        .unwrap();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Link);
    tar.append_link(&mut header.clone(), "./usr/su2", "./usr/su")
        .unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    tar.append_link(&mut header.clone(), "./bin", "usr/bin").unwrap();
    header.set_entry_type(tar::EntryType::Char);
    tar.append_data(&mut header.clone(), "./dev/null", std::io::empty())
        .unwrap();
    tar.finish().unwrap();

    let mut writer = Writer::create(&dir.path().join("layer")).unwrap();
    writer.tree(&tree).unwrap();
    let layer = writer.finish().unwrap();
    let mut seen = Vec::new();
    for entry in tar::Archive::new(File::open(&layer.path).unwrap())
        .entries()
        .unwrap()
    {
        let entry = entry.unwrap();
        let link = entry.link_name().unwrap().map(|l| l.display().to_string());
        seen.push((entry.path().unwrap().display().to_string(), link));
        assert_eq!(entry.header().uid().unwrap(), 1000);
        assert_eq!(entry.header().mode().unwrap(), 0o4755);
        assert_eq!(entry.header().mtime().unwrap(), 0);
    }
    let link = |to: &str| Some(to.to_owned());
    assert_eq!(
        seen,
        [
            (long.trim_start_matches("./").to_owned(), None),
            ("usr/su".to_owned(), None),
            ("usr/su2".to_owned(), link("usr/su")),
            ("bin".to_owned(), link("usr/bin")),
        ]
    );
}
