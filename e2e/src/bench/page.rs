//! The page that results are kept on: each benchmark has a section of its own, and replaces nothing else.

use std::path::Path;

use anyhow::{Context, Result};

const HEAD: &str = "# Benchmarks

Ours and upstream's, in turns on the same machine in one run; what counts is the ratio of the medians. Figures are the
median with minimum and maximum behind it. A *floor* is what the same work takes without the program under test. `rig
bench all` makes this page anew, `rig bench NAME` one section of it.
";

/// Puts `section`, a heading and its text, in place of the one called `name`, or at the end.
pub fn put(page: &Path, name: &str, section: &str) -> Result<()> {
    let old = match std::fs::read_to_string(page) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", page.display())),
    };
    crate::state::replace(page, with(&old, name, section).as_bytes())
}

fn with(page: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let block = format!("{begin}\n{}\n{end}", section.trim());
    match (page.find(&begin), page.find(&end)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{block}{}", &page[..from], &page[to + end.len()..])
        }
        _ => format!("{}\n\n{block}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let first = with(HEAD, "idle", "## Idle\none");
        let both = with(&first, "load", "## Load\ntwo");
        let again = with(&both, "idle", "## Idle\nthree");
        assert!(again.contains("three") && again.contains("two") && !again.contains("one\n"));
        assert_eq!(with(&again, "idle", "## Idle\nthree"), again);
        assert!(again.starts_with("# Benchmarks"));
    }
}
