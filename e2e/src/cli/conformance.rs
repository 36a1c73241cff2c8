//! `rig conformance`: options to a request.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::args::Conformance;
use super::command::runtime;
use crate::conformance::{self, Only, Outcome, Place, Request, Selection};
use crate::machine::preflight;
use crate::places;
use crate::plan::site::{Folder, Site};
use crate::print::print;

/// The list of tests that have to pass.
const PASSING: &str = "e2e/conformance/passing.txt";

pub fn run(folder: Folder, options: Conformance) -> Result<ExitCode> {
    let results = match &options.results {
        Some(results) => std::path::absolute(results).context("resolving the folder of results")?,
        None => folder.root().join("conformance"),
    };
    let place = Place::new(results);
    if options.report {
        let page = match options.page {
            Some(page) => page,
            None => places::checkout()?.join("docs/conformance.md"),
        };
        conformance::report(&place, &page)?;
        print(&format!("{}\n", page.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.dry_run {
        preflight::root()?;
    }
    let outcome = conformance::run(request(folder, place, options)?, &runtime()?)?;
    Ok(match outcome {
        Outcome::Good => ExitCode::SUCCESS,
        Outcome::Bad => ExitCode::FAILURE,
        // As a shell tells of a program that an interrupt ended.
        Outcome::Interrupted => ExitCode::from(130),
    })
}

fn request(folder: Folder, place: Place, options: Conformance) -> Result<Request> {
    let only = match (options.parallel || options.check, options.serial) {
        (_, true) => Only::Serial,
        (true, _) => Only::Parallel,
        _ => Only::All,
    };
    let passing = places::checkout()?.join(PASSING);
    // What is not on the list cannot break anything, and what fails takes longest.
    let listed = (options.check && !options.update && options.list.is_none()).then(|| passing.clone());
    let list = options.list.or(listed).map(|file| {
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        anyhow::Ok(conformance::names(&text))
    });
    let check = if options.check {
        Some((passing, options.update))
    } else {
        None
    };
    Ok(Request {
        site: Site {
            folder,
            ours: places::ours(options.bin_dir)?,
        },
        layout: places::assets()?,
        place,
        uses: options.uses,
        nodes: options.nodes,
        fresh: options.fresh,
        processes: options.procs,
        retries: options.retries.unwrap_or(u32::from(options.check)),
        selection: Selection {
            focus: options.focus,
            skip: options.skip,
            list: list.transpose()?,
            sigs: options.sig,
            sample: options.sample.map(|count| (count, options.seed)),
            only,
        },
        failed: options.failed,
        resume: options.resume,
        dry: options.dry_run,
        check,
    })
}
