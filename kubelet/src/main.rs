//! `kubelet`: see the library for what it does.

fn main() -> std::process::ExitCode {
    machinery::component::runtime::exit(kubelet::run::main())
}
