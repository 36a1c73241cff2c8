//! Ginkgo's protocol between the processes of one suite and whoever runs them.
//!
//! ```text
//! GET counter                 which unit to run next        POST did-run               a test's report
//! GET before-suite-state      what process 1 prepared       POST before-suite-completed
//! GET abort                   whether to break off          GET have-nonprimary-procs-finished
//! ```
//! Its HTTP form (`GINKGO_PARALLEL_PROTOCOL=HTTP`), with the number of the process before each path. What has to be asked
//! for again is answered with 425, what will never come with 410.
//! <https://github.com/onsi/ginkgo/blob/v2.32.0/internal/parallel_support/http_server.go>

mod report;
mod server;

pub(super) use report::{SpecReport, State};
pub(super) use server::{Desk, Server};

/// The environment variable that makes a process speak HTTP, and its value.
pub(super) const PROTOCOL: (&str, &str) = ("GINKGO_PARALLEL_PROTOCOL", "HTTP");
