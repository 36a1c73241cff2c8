//! What the kubelet has to remember over a restart and cannot read off the machine.
//!
//! Mounts, control groups, pod folders, log folders, sandboxes and containers all carry their pod's uid where they are, so
//! the machine itself is the record of those ([`crate::pod::dispatch`] sweeps them at a start). What is left is small: which
//! uid a static pod runs under.

mod statics;

pub use statics::Statics;
