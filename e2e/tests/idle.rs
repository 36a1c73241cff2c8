//! What our programs take on an idle cluster, beside upstream's in the same run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::bench::summary::Summary;
use e2e::bench::{idle, markdown};
use e2e::cluster::progress::Progress;
use e2e::plan::choice::{Component, Origin};
use e2e::rig::{NODES, shared};

/// Ours may take this much of upstream's resident memory.
const MEMORY: f64 = 0.25;
/// And no more processor time, but for what a short measurement cannot tell.
const PROCESSOR: f64 = 1.1;
/// Millicores that are next to nothing on either side: a proxy that has nothing to do.
const NOTHING: f64 = 0.5;

#[test]
fn our_programs_take_a_quarter_of_the_memory_and_no_more_processor_time() -> Result<()> {
    let rig = shared(env!("CARGO_BIN_EXE_rig"))?;
    let plan = idle::Plan {
        rounds: 1,
        settle: Duration::from_secs(15),
        samples: 1,
        measure: Duration::from_secs(30),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let results = runtime.block_on(idle::measure(&rig.site().folder, plan, Progress::new()))?;
    println!(
        "{}",
        markdown::section(&idle::table(&results, plan, NODES), None, "")
    );
    for component in Component::ALL {
        let (memory, processor) = idle::ratios(&results, component).unwrap_or((f64::NAN, f64::NAN));
        ensure!(
            memory <= MEMORY,
            "{component} takes {memory:.2} of upstream's memory"
        );
        let ours = results
            .get(&(component, Origin::Ours))
            .and_then(|samples| Summary::of(&samples.millicores));
        let idle = ours.is_some_and(|ours| ours.median <= NOTHING);
        ensure!(
            idle || processor <= PROCESSOR,
            "{component} takes {processor:.2} of upstream's processor time"
        );
    }
    Ok(())
}
