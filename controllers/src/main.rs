//! `kube-controller-manager`: see the library for what it does.

use controllers::config::Config;
use controllers::flags::PROGRAM;
use controllers::manager;
use machinery::component::logging::Logging;
use machinery::component::runtime::{block_on, exit};
use machinery::component::secure::Secure;
use std::process::ExitCode;

/// Upstream's port.
const PORT: u16 = 10_257;

fn main() -> ExitCode {
    exit(run())
}

fn run() -> anyhow::Result<()> {
    let flags = PROGRAM.parse()?;
    Logging::from_flags(&flags)?.start();
    for warning in flags.warnings() {
        tracing::warn!("{warning}");
    }
    let config = Config::from_flags(&flags)?;
    manager::check(&config)?;
    let secure = Secure::from_flags(&flags, PORT)?;
    block_on(manager::run(config, secure))
}
