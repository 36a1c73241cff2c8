//! Image names.

/// The name with `:latest` when it has neither tag nor digest.
///
/// # Errors
/// When it is no image name.
pub fn with_default_tag(image: &str) -> Result<String, String> {
    let (path, digest) = match image.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (image, None),
    };
    let last = path.rsplit('/').next().unwrap_or(path);
    let (name, tag) = match last.split_once(':') {
        Some((_, tag)) => (path.get(..path.len() - tag.len() - 1).unwrap_or(path), Some(tag)),
        None => (path, None),
    };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let parts: Vec<&str> = name.split('/').collect();
    let has_host = parts.len() > 1 && parts.first().is_some_and(|p| is_host(p));
    let repository = if has_host { parts.get(1..) } else { parts.get(..) }.unwrap_or_default();
    let whole = |p: &&str| !p.is_empty() && p.chars().all(lower) && !p.starts_with(['.', '_', '-']);
    let tag_ok = tag.is_none_or(|t| {
        !t.is_empty()
            && t.len() <= 128
            && t.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !t.starts_with(['.', '-'])
    });
    let digest_ok = digest.is_none_or(|d| {
        d.split_once(':')
            .is_some_and(|(a, hex)| !a.is_empty() && hex.len() >= 32)
    });
    if !repository.iter().all(whole) || !tag_ok || !digest_ok {
        return Err(format!(
            "couldn't parse image name {image:?}: invalid reference format"
        ));
    }
    Ok(if tag.is_none() && digest.is_none() {
        format!("{image}:latest")
    } else {
        image.to_owned()
    })
}

/// Whether the first part of a name is a registry: an upper-case one can be no repository.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.chars().any(char::is_uppercase)
}

/// The registry of an image and the path in it, as credentials are kept by them.
#[must_use]
pub fn registry_and_path(image: &str) -> (String, String) {
    let bare = image.split('@').next().unwrap_or(image);
    let (host, rest) = match bare.split_once('/') {
        Some((host, rest)) if is_host(host) => (host, rest.to_owned()),
        Some(_) => ("docker.io", bare.to_owned()),
        None => ("docker.io", format!("library/{bare}")),
    };
    let host = if host == "index.docker.io" {
        "docker.io"
    } else {
        host
    };
    (host.to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_added_where_none_is() {
        for (image, expected) in [
            ("nginx", Some("nginx:latest")),
            ("nginx:1", Some("nginx:1")),
            ("host:5000/a/b", Some("host:5000/a/b:latest")),
            (
                "a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
                None,
            ),
            ("UPPER", Some("")),
            ("UPPER/x", Some("UPPER/x:latest")),
            ("a/b:", Some("")),
            ("", Some("")),
        ] {
            match expected {
                Some("") => assert!(with_default_tag(image).is_err(), "{image}"),
                Some(expected) => assert_eq!(with_default_tag(image).unwrap(), expected),
                None => assert_eq!(with_default_tag(image).unwrap(), image),
            }
        }
    }

    #[test]
    fn registries() {
        for (image, host, path) in [
            ("nginx:1", "docker.io", "library/nginx:1"),
            ("me/app", "docker.io", "me/app"),
            ("ghcr.io/x/y:1", "ghcr.io", "x/y:1"),
            ("localhost/x", "localhost", "x"),
        ] {
            assert_eq!(registry_and_path(image), (host.to_owned(), path.to_owned()));
        }
    }
}
