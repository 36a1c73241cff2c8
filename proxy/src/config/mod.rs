//! What the user asked for: upstream's flags and `KubeProxyConfiguration`, defaulted and checked.
//!
//! ```text
//! --config file --strict decode--> File \
//! flags ---------------------------------> File::complete (upstream's defaults) -> Config::new (checks) -> Config
//! ```
//!
//! A flag wins over the file. Nothing here reads the node or the cluster; [`Config::settings`] joins the configuration
//! with what is known of the node.

mod addresses;
mod effective;
mod file;
pub mod flags;
mod overlay;

pub use addresses::{NodePortRange, ranges_for};
pub use effective::{Config, Conntrack, DetectLocal, Invalid};
pub use file::{API_VERSION, File, KIND};
pub use flags::PROGRAM;
pub use overlay::overlay;

#[cfg(test)]
mod tests;
