//! `/logs/`: the files of `/var/log`, to look at from afar.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, open, openat2};
use tokio_util::io::ReaderStream;

const ROOT: &str = "/var/log";

/// Answers for `path` below the root; nothing leads out of it.
pub(super) fn serve(path: &str) -> Response {
    match find(Path::new(ROOT), path) {
        Ok(Found::Folder(page)) => Html(page).into_response(),
        Ok(Found::File(file)) => {
            let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
        }
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_REQUEST,
            };
            (code, format!("{}\n", code.canonical_reason().unwrap_or_default())).into_response()
        }
    }
}

#[derive(Debug)]
enum Found {
    File(File),
    Folder(String),
}

fn find(root: &Path, path: &str) -> io::Result<Found> {
    let path = path.trim_matches('/');
    let below = if path.is_empty() { "." } else { path };
    let root = open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let found = openat2(&root, below, flags, Mode::empty(), confined)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
        FileType::RegularFile => Ok(Found::File(File::from(found))),
        FileType::Directory => Ok(Found::Folder(page(rustix::fs::Dir::read_from(&found)?))),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// A page of links.
fn page(folder: rustix::fs::Dir) -> String {
    let mut names: Vec<String> = folder
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str().ok()?;
            let slash = if entry.file_type() == FileType::Directory {
                "/"
            } else {
                ""
            };
            (name != "." && name != "..").then(|| format!("{name}{slash}"))
        })
        .collect();
    names.sort_unstable();
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "<a href=\"{}\">{}</a>", link(&name), text(&name));
    }
    page.push_str("</pre>\n");
    page
}

fn link(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(byte.into())
            }
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

fn text(name: &str) -> String {
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_root_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("log");
        std::fs::create_dir_all(root.join("pods")).unwrap();
        std::fs::write(root.join("a <b>.log"), "text").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("out")).unwrap();
        let Ok(Found::Folder(page)) = find(&root, "/") else {
            panic!()
        };
        assert!(
            page.contains("<a href=\"a%20%3Cb%3E.log\">a &lt;b&gt;.log</a>\n<a href=\"out\">"),
            "{page}"
        );
        assert!(page.contains("<a href=\"pods/\">pods/</a>"));
        assert!(matches!(find(&root, "a <b>.log"), Ok(Found::File(_))));
        for bad in ["out", "../x", "none"] {
            assert!(find(&root, bad).is_err(), "{bad}");
        }
    }
}
