//! A read-only image registry over the archives, so that a node may pull what `rig up` did not import and
//! `imagePullPolicy: Always` works offline.
//!
//! ```text
//! images/*.tar -> index (names and digests -> places in the archives) -> server <- containerd's hosts.toml
//! ```
//! It runs on the control plane's machine, under the supervisor.
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

mod index;
mod server;

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

/// Command-line word of the registry.
pub const WORD: &str = "__registry";

/// The hidden step: `address folder`. It never ends by itself.
pub fn run(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [address, folder] = args else {
        bail!("{WORD} is for the rig's own use")
    };
    let address = address
        .to_string_lossy()
        .parse()
        .context("reading the registry's address")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime")?;
    runtime.block_on(server::serve(address, folder.into()))
}
