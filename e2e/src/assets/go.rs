//! The Go toolchain: builds a recipe, and finds upstream's source in the module cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Error, Result};
use super::module::Module;
use super::program::Recipe;
use super::progress::Progress;
use super::run::run;
use super::store::Layout;

const ADVICE: &str = "install Go 1.26 or newer from https://go.dev/dl/ and put its bin folder on PATH (/usr/local/go/bin is tried too)";

/// Builds `recipe` into the file `out`.
pub(super) fn build(
    recipe: &Recipe,
    what: &str,
    out: &Path,
    layout: &Layout,
    progress: &dyn Progress,
) -> Result<()> {
    let mut command = go(recipe.module, layout)?;
    let what_for: &[&str] = if recipe.test {
        &["test", "-c"]
    } else {
        &["build", "-v"]
    };
    command
        .args(what_for)
        .args(["-mod=readonly", "-buildvcs=false", "-trimpath"])
        .args(["-tags", recipe.tags, "-ldflags", &recipe.ldflags(), "-o"])
        .args([out.as_os_str(), recipe.package.as_ref()])
        .env("CGO_ENABLED", if recipe.cgo { "1" } else { "0" });
    run(&mut command, what, ADVICE, &layout.log(what), progress)
}

/// The folder of `package`'s source, downloaded if need be.
pub(super) fn source(
    module: Module,
    package: &str,
    layout: &Layout,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let what = format!("{}-source", module.name());
    let log = layout.log(&what);
    run(
        go(module, layout)?.args(["mod", "download", package]),
        &what,
        ADVICE,
        &log,
        progress,
    )?;

    let failed = |outcome: String| Error::Failed {
        what: what.clone(),
        program: "go list".into(),
        outcome,
        log: log.clone(),
        tail: String::new(),
    };
    let output = go(module, layout)?
        .args(["list", "-m", "-f", "{{.Dir}}", package])
        .output()
        .map_err(|e| failed(e.to_string()))?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "" => Err(failed(format!(
            "found no folder of {package}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))),
        folder => Ok(folder.into()),
    }
}

fn go(module: Module, layout: &Layout) -> Result<Command> {
    let folder = module.unpack(layout)?;
    let mut command = Command::new(program());
    // A workspace around the assets folder would replace the pinned versions.
    command.env("GOWORK", "off").current_dir(folder);
    Ok(command)
}

/// `go` of the PATH, or where its installation guide puts it, which a `sudo` or a service often lacks.
fn program() -> PathBuf {
    let usual = Path::new("/usr/local/go/bin/go");
    let on_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("go").is_file()));
    if !on_path && usual.is_file() {
        usual.into()
    } else {
        "go".into()
    }
}
