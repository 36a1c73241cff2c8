//! Versions: the Kubernetes version whose behaviour we have, and our own.

/// The Kubernetes version that we stand in for, as nodes and `--version` show it.
pub const KUBERNETES: &str = "v1.37.1";

/// Major and minor of [`KUBERNETES`].
#[must_use]
pub fn major_minor() -> (&'static str, &'static str) {
    let mut parts = KUBERNETES.trim_start_matches('v').split('.');
    (parts.next().unwrap_or("1"), parts.next().unwrap_or("37"))
}

/// What `--version` prints; `--version=raw` tells more.
#[must_use]
pub fn text(raw: bool) -> String {
    if raw {
        let (major, minor) = major_minor();
        format!(
            "version.Info{{Major:\"{major}\", Minor:\"{minor}\", GitVersion:\"{KUBERNETES}\", Steersman:\"v{}\", Platform:\"linux/{}\"}}",
            env!("CARGO_PKG_VERSION"),
            architecture(),
        )
    } else {
        format!("Kubernetes {KUBERNETES}")
    }
}

/// This machine's architecture in Go's words, as node labels have it.
#[must_use]
pub const fn architecture() -> &'static str {
    match std::env::consts::ARCH.as_bytes() {
        b"x86_64" => "amd64",
        b"aarch64" => "arm64",
        b"powerpc64" => "ppc64le",
        b"riscv64" => "riscv64",
        b"s390x" => "s390x",
        _ => std::env::consts::ARCH,
    }
}
