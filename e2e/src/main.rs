//! The `rig` program.

fn main() -> std::process::ExitCode {
    e2e::cli::main()
}
