//! What a benchmark leaves: JSON beside the rig, a section of the page, a chart.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::table::Table;
use super::{chart, markdown, page};
use crate::plan::site::Folder;
use crate::state::replace;

/// The machine-readable form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub bench: String,
    pub facts: Facts,
    pub table: Table,
}

impl Report {
    /// Where the JSON of the benchmark `name` is.
    pub fn file(folder: &Folder, name: &str) -> PathBuf {
        folder.root().join("bench").join(format!("{name}.json"))
    }

    /// Writes the JSON, and to `page`, if there is one, the section and its chart.
    pub fn write(&self, folder: &Folder, page: Option<&Path>) -> Result<()> {
        replace(
            &Self::file(folder, &self.bench),
            &serde_json::to_vec_pretty(self)?,
        )?;
        let Some(page) = page else {
            return Ok(());
        };
        let drawn = chart::svg(&self.table);
        let link = format!(
            "{}/{}.svg",
            page.file_stem().unwrap_or_default().to_string_lossy(),
            self.bench
        );
        if let Some(drawn) = &drawn {
            replace(
                &page.parent().unwrap_or(Path::new(".")).join(&link),
                drawn.as_bytes(),
            )?;
        }
        page::put(page, &self.bench, &self.section(drawn.map(|_| link.as_str())))
    }

    /// The section of the page.
    pub fn section(&self, chart: Option<&str>) -> String {
        markdown::section(&self.table, chart, &self.facts.line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::{Better, Target};
    use crate::plan::choice::Origin;

    #[test]
    fn a_report_is_kept_as_json_a_section_and_a_chart() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("rig"));
        let page = temporary.path().join("docs/benchmarks.md");
        let mut table = Table::new("Proxy", "Cold.");
        table.declare("cold start", "s", Better::Lower, &[Target::Ratio(0.1)]);
        table.add("cold start", "s", Origin::Upstream, 3.0);
        table.add("cold start", "s", Origin::Ours, 0.1);
        let report = Report {
            bench: "proxy".to_owned(),
            facts: Facts::default(),
            table,
        };
        report.write(&folder, Some(&page)).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("![Proxy](benchmarks/proxy.svg)"), "{text}");
        assert!(temporary.path().join("docs/benchmarks/proxy.svg").exists());
        let json = std::fs::read(Report::file(&folder, "proxy")).unwrap();
        let again: Report = serde_json::from_slice(&json).unwrap();
        assert_eq!(again.table.rows[0].ratio(), report.table.rows[0].ratio());
    }
}
