//! busybox of the version that upstream's image has, from Debian's source package: its shell passes on environment names
//! such as `data-1`, which that of Debian 12's own drops and a conformance test uses.

use std::process::Command;

use super::debian::mirror;
use super::error::Result;
use super::progress::Progress;
use super::run::run;
use super::store::{Key, Layout, Slot};

/// The Debian release whose source package is of the wanted version.
const SUITE: &str = "trixie";
const SCRIPT: &str = include_str!("busybox.sh");

/// The program, statically linked.
pub(super) fn slot(layout: &Layout) -> Slot {
    Slot {
        name: "busybox".to_owned(),
        path: layout.trees().join("busybox"),
        key: Key::of([
            ("suite", SUITE.as_bytes()),
            ("script", SCRIPT.as_bytes()),
            ("machine", std::env::consts::ARCH.as_bytes()),
        ]),
    }
}

/// Makes the program unless it is there.
pub(super) fn ensure(layout: &Layout, progress: &dyn Progress) -> Result<Slot> {
    let slot = slot(layout);
    let hint = "about 1 min, downloads its source from Debian";
    slot.fill(layout, progress, hint, |out| {
        let mirror = mirror().unwrap_or_else(|| "http://deb.debian.org/debian".to_owned());
        let mut command = Command::new("sh");
        command
            .args(["-euc", SCRIPT, "busybox.sh", SUITE, &mirror])
            .arg(out);
        let advice = "install dash or another sh";
        run(
            &mut command,
            &slot.name,
            advice,
            &layout.log(&slot.name),
            progress,
        )
    })?;
    Ok(slot)
}
