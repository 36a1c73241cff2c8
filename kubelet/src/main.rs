//! `kubelet`: see the library for what it does.

fn main() -> anyhow::Result<()> {
    kubelet::run::main()
}
