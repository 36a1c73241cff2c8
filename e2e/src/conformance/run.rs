//! A run from its beginning to its end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cluster::{self, Wanted};
use super::phase::{Ending, Run};
use super::place::{Combination, Place};
use super::process::{self, Suite};
use super::progress::Show;
use super::record::{Journal, Results};
use super::select::{self, Plan, Selection};
use super::summary::{self, Tally};
use super::sweep::{self, GO_ON, Sweeper};
use super::{census, check, junit};
use crate::assets::{Layout, Program};
use crate::cluster::up;
use crate::machine::cgroup::Hierarchies;
use crate::plan::address::CONTROL_PLANE;
use crate::plan::choice::{Choices, Use};
use crate::plan::site::Site;
use crate::print::print;
use crate::supervisor::record::supervisor;

/// What is asked for.
pub struct Request {
    pub site: Site,
    pub layout: Layout,
    pub place: Place,
    pub uses: Vec<Use>,
    pub nodes: u8,
    pub fresh: bool,
    pub processes: u32,
    /// How often a test that fails is run again.
    pub retries: u32,
    pub selection: Selection,
    /// Only tests whose last result is a failure.
    pub failed: bool,
    /// Goes on with the run that was broken off.
    pub resume: bool,
    /// Only says what would be run.
    pub dry: bool,
    /// The list of tests that have to pass, and whether it grows by those that do.
    pub check: Option<(PathBuf, bool)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What had to pass did.
    Good,
    Bad,
    Interrupted,
}

/// Runs tests, and writes what came of it to `request.place`.
pub fn run(mut request: Request, runtime: &tokio::runtime::Runtime) -> Result<Outcome> {
    let choices = Choices::new(&request.uses, request.nodes)?;
    let of = Combination::of(&choices, request.nodes);
    if !request.dry {
        up::check(&request.site, &request.uses, request.nodes)?;
    }
    let (cluster, assets) = cluster::assets(&request.layout)?;
    let program = assets.program(Program::E2eTest)?.to_owned();
    let catalogue = census::catalogue(&program, request.nodes, &request.place.catalogue())?;

    let _held = request.place.hold()?;
    // A run that was broken off counts, whether this one goes on with it or not.
    let mut results = Results::read(&request.place, &of)?;
    results.write(&request.place, &of)?;
    if request.failed {
        request.selection.list = Some(results.failed());
    }
    let journal = Journal::open(&request.place.journal(&of), request.resume)?;
    let done: BTreeSet<String> = journal
        .records()
        .iter()
        .map(|record| record.name.clone())
        .collect();
    let measured = results.seconds();
    let plan = select::plan(&catalogue.tests, &request.selection, &done, &measured);
    if request.dry {
        let tests = plan.parallel.iter().chain(&plan.serial);
        print(&tests.map(|test| format!("{}\n", test.name)).collect::<String>())?;
        return Ok(Outcome::Good);
    }
    announce(&of, &plan, &done);
    if plan.parallel.is_empty() && plan.serial.is_empty() && done.is_empty() {
        bail!("no test is right by all that was asked for");
    }

    let wanted = Wanted {
        site: request.site.clone(),
        uses: request.uses.clone(),
        nodes: request.nodes,
        fresh: request.fresh,
    };
    runtime.block_on(cluster::ready(&wanted, cluster))?;
    let rig = supervisor(&request.site.folder)?;
    let folder = request.site.folder.clone();
    let cgroup = sweep::cgroup(&folder);
    sweep::sweep(&folder)?;
    Hierarchies::find()?.make(&cgroup)?;
    let sweeper = Sweeper::start(&rig, &folder)?;
    let mut run = Run {
        suite: Suite {
            program,
            kubectl: request.site.upstream().join("kubectl"),
            kubeconfig: request.site.folder.component_kubeconfig("admin"),
            nodes: request.nodes,
        },
        site: process::Site {
            rig,
            machine: *up::machines(&request.site)?
                .get(CONTROL_PLANE)
                .context("the control plane's machine is not there")?,
            cgroup,
        },
        processes: request.processes,
        retries: request.retries,
        journal,
        folder: request.place.folder().to_owned(),
        logs: request.place.logs(&of),
        commit: commit(),
        measured,
        after: Vec::new(),
        since: Instant::now(),
        show: Show::new(),
        disks: vec![
            request.place.folder().to_owned(),
            request.site.folder.root().to_owned(),
        ],
        end: Box::new(move || sweep::end(&folder)),
    };
    let ending = runtime.block_on(all(&mut run, &plan));
    let whole = matches!(ending, Ok(Ending::Done));
    if whole {
        (run.end)()?;
    } else {
        sweep::sweep(&request.site.folder)?;
    }
    sweeper.dismiss()?;
    let outcome = finish(&request, &of, &run, &mut results, &plan, !whole);
    if ending.context(broken_off())? == Ending::Interrupted {
        eprintln!("interrupted; {GO_ON}");
        return Ok(Outcome::Interrupted);
    }
    outcome.context(broken_off())
}

fn broken_off() -> String {
    format!("the run was broken off; {GO_ON}")
}

fn announce(of: &Combination, plan: &Plan, done: &BTreeSet<String>) {
    let before = match done.len() {
        0 => String::new(),
        done => format!(", {done} before"),
    };
    eprintln!(
        "conformance of {of}: {} tests beside each other, {} alone{before}",
        plan.parallel.len(),
        plan.serial.len()
    );
}

async fn all(run: &mut Run, plan: &Plan) -> Result<Ending> {
    run.after = plan.serial.iter().map(|test| test.name.clone()).collect();
    if !plan.parallel.is_empty() && run.parallel(&plan.parallel).await? == Ending::Interrupted {
        return Ok(Ending::Interrupted);
    }
    run.after.clear();
    if plan.serial.is_empty() {
        return Ok(Ending::Done);
    }
    run.serial(&plan.serial).await
}

/// Writes results, and says what they mean.
fn finish(
    request: &Request,
    of: &Combination,
    run: &Run,
    results: &mut Results,
    plan: &Plan,
    broken: bool,
) -> Result<Outcome> {
    let records = run.journal.records();
    results.add(records.iter().cloned());
    results.write(&request.place, of)?;
    let xml = junit::xml(&format!("conformance of {of}"), records);
    crate::state::replace(&request.place.junit(of), xml.as_bytes())?;
    print(&format!(
        "{}\n{}\n",
        summary::text(records),
        request.place.result(of).display()
    ))?;

    let planned: BTreeSet<String> = plan
        .parallel
        .iter()
        .chain(&plan.serial)
        .map(|test| test.name.clone())
        .chain(records.iter().map(|record| record.name.clone()))
        .collect();
    let lost = planned.len() - records.len();
    if lost > 0 && !broken {
        eprintln!("{lost} tests have no result; {GO_ON}");
    }
    let Some((list, grow)) = &request.check else {
        let tally = Tally::of(records);
        return Ok(if tally.failed == 0 && lost == 0 {
            Outcome::Good
        } else {
            Outcome::Bad
        });
    };
    let text = std::fs::read_to_string(list).with_context(|| format!("reading {}", list.display()))?;
    let check = check::check(&select::names(&text), &planned, records);
    for name in &check.broken {
        print(&format!(
            "has to pass, for it is in {}, and did not: {name}\n",
            list.display()
        ))?;
    }
    for name in &check.missing {
        print(&format!(
            "has to pass, for it is in {}, and has no result: {name}\n",
            list.display()
        ))?;
    }
    if *grow {
        crate::state::replace(list, check::grown(&text, &check.new).as_bytes())?;
        print(&format!(
            "{} tests are new in {}\n",
            check.new.len(),
            list.display()
        ))?;
    } else if !check.new.is_empty() {
        print(&format!(
            "{} tests pass that are not in {}: --update adds them\n",
            check.new.len(),
            list.display()
        ))?;
    }
    Ok(if check.broken.is_empty() && check.missing.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

/// The commit that we are at.
fn commit() -> String {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let told = output.ok().filter(|output| output.status.success());
    told.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
