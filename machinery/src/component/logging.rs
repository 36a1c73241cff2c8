//! Logs on standard error, as text or JSON, with upstream's `-v` levels: 0 to 2 tell what a user
//! needs, 3 and 4 each decision, 5 and more everything.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::flags::{FlagError, Flags};

/// How a line of log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging {
    /// Upstream's verbosity.
    pub verbosity: u32,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Logging {
    /// Reads `-v` and `--logging-format`.
    ///
    /// # Errors
    /// A value is not a number, or the format is unknown.
    pub fn from_flags(flags: &Flags) -> Result<Self, FlagError> {
        let format = match flags.text("logging-format") {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => return Err(flags.invalid("logging-format", "it is neither text nor json")),
        };
        Ok(Self {
            verbosity: flags.number("v")?.unwrap_or(0),
            format,
        })
    }

    /// Starts logging; a second call changes nothing.
    pub fn start(self) {
        let level = match self.verbosity {
            0..=2 => Level::INFO,
            3..=4 => Level::DEBUG,
            _ => Level::TRACE,
        };
        // Libraries speak up only where something is wrong, or at high verbosity.
        let libraries = if self.verbosity >= 8 {
            LevelFilter::DEBUG
        } else {
            LevelFilter::WARN
        };
        let ours = [
            "machinery",
            "kubelet",
            "kube_scheduler",
            "kube_proxy",
            "kube_controller_manager",
            "controllers",
            "e2e",
            "rig",
        ];
        let targets = Targets::new()
            .with_default(libraries)
            .with_targets(ours.map(|name| (name, level)));
        let registry = tracing_subscriber::registry().with(targets);
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let _ = match self.format {
            LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
            LogFormat::Json => registry.with(layer.json()).try_init(),
        };
    }
}
