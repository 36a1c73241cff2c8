//! `kube-proxy`: see the library for what it does.

fn main() -> std::process::ExitCode {
    machinery::component::runtime::exit(kube_proxy::run::main())
}
