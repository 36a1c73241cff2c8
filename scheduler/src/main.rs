//! kube-scheduler.

use std::process::ExitCode;

fn main() -> ExitCode {
    kube_scheduler::run::main()
}
