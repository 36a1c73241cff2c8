//! What a rig looks like, decided without touching the machine.
//!
//! ```text
//! state folder -> identity -> names, port        --use ... -> choice
//! node count   -> address  -> addresses, ranges  both      -> program, config, site -> argv, files, mounts
//! ```
//! Nothing here opens a file, makes a process or reads the clock.

pub mod address;
pub mod backoff;
pub mod choice;
pub mod config;
pub mod identity;
pub mod mounts;
pub mod program;
pub mod site;
