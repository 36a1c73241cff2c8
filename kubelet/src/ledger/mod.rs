//! The crash-safe record of what the kubelet made.
