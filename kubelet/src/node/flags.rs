//! What only flags say about the node: the rest is in the configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags without a field in `KubeletConfiguration`. Empty means not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--node-ip`, as written: see [`super::address::parse`].
    pub node_ip: String,
    /// `--hostname-override`; wins over the machine's name as the hostname label and address.
    pub hostname_override: String,
    /// `--node-labels`.
    pub node_labels: BTreeMap<String, String>,
    /// `--cloud-provider=external`.
    pub external_cloud: bool,
    /// `--cert-dir`: where a self-signed serving certificate is kept.
    pub cert_dir: PathBuf,
}
