//! The rig that the tests run against: the one that is up, if it is what is wanted, else a new one.

use anyhow::{Context, Result};

use super::place::Combination;
use crate::assets::{Assets, Layout, Terminal};
use crate::cluster::progress::Progress;
use crate::cluster::{down, up, upstream};
use crate::plan::choice::{Choices, Use};
use crate::plan::site::Site;
use crate::state::{Phase, State};
use crate::supervisor::record::Record;

/// What is wanted of the rig.
pub(super) struct Wanted {
    pub(super) site: Site,
    pub(super) uses: Vec<Use>,
    pub(super) nodes: u8,
    /// A rig of this run's own, whatever is up.
    pub(super) fresh: bool,
}

/// What the suite and a cluster need of upstream's. Blocks, a quarter of an hour on a fresh machine.
pub(super) fn assets(layout: &Layout) -> Result<(Assets, Assets)> {
    let progress = Terminal::default();
    let cluster = upstream::ensure(layout, &progress)?;
    Ok((cluster, upstream::ensure_conformance(layout, &progress)?))
}

/// Sees that such a rig is up, and says what it is made of.
pub(super) async fn ready(wanted: &Wanted, assets: Assets) -> Result<State> {
    let choices = Choices::new(&wanted.uses, wanted.nodes)?;
    let folder = &wanted.site.folder;
    if let Some(state) = State::read(folder)? {
        let record = Record::read(&folder.supervisor_record())?;
        let alive = state.phase == Phase::Up && record.supervisor.is_some_and(|process| process.alive());
        let same = Combination::of(&state.choices, state.nodes) == Combination::of(&choices, wanted.nodes)
            && state.nodes == wanted.nodes
            && state.ours == wanted.site.ours;
        if alive && same && !wanted.fresh {
            return Ok(state);
        }
        if alive {
            eprintln!(
                "the rig in {} is ended, for another is wanted",
                folder.root().display()
            );
            down::down(folder)?;
        }
    }
    let options = up::Options {
        site: wanted.site.clone(),
        assets,
        rig: std::env::current_exe().context("finding this program")?,
        nodes: wanted.nodes,
        uses: wanted.uses.clone(),
    };
    up::up(&options, Progress::new()).await
}
