//! The kernel's side of a rig: processes, cgroups, namespaces, links.
//!
//! ```text
//! plan::mounts::Machine -> init (first process of a machine: mounts, settings, reaping)
//! plan::program::Program -> launch (join cgroup and namespaces, then exec)
//! plan::config::*_links  -> links (`ip -batch` in a namespace)
//! ```

pub mod cgroup;
pub mod enter;
pub mod init;
pub mod launch;
pub mod links;
pub mod preflight;
pub mod process;
