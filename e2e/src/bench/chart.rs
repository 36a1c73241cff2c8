//! A table's targets as a chart: for each, upstream's bar and ours, the longer one as long as the chart is wide.

use std::fmt::Write as _;

use super::markdown::condition;
use super::summary::figure;
use super::table::{Row, Table, Target, Verdict};
use crate::plan::choice::Origin;

const WIDTH: f64 = 860.0;
/// Where bars begin; names are to the left of it.
const LEFT: f64 = 330.0;
/// Right of the longest bar, for its figure.
const RIGHT: f64 = 90.0;
const BAR: f64 = 11.0;
const ROW: f64 = 36.0;
const TOP: f64 = 34.0;

const UPSTREAM: &str = "#9aa4b2";
const MET: &str = "#2f7d4f";
const MISSED: &str = "#c0662b";

/// The chart as SVG; `None` if no row has both a target and two sides.
pub fn svg(table: &Table) -> Option<String> {
    let rows: Vec<&Row> = table
        .rows
        .iter()
        .filter(|row| !row.targets.is_empty() && row.ratio().is_some() && longest(row) > 0.0)
        .collect();
    if rows.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // A few dozen rows.
    let height = TOP + ROW * rows.len() as f64 + 8.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (x, colour, name) in [
        (LEFT, UPSTREAM, "upstream"),
        (LEFT + 90.0, MET, "ours, target met"),
        (LEFT + 220.0, MISSED, "ours, target missed"),
    ] {
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"9\" width=\"{BAR}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"18\">{name}</text>",
            x + 16.0
        );
    }
    let mut y = TOP;
    for row in rows {
        draw(&mut text, row, y);
        y += ROW;
    }
    text.push_str("</svg>\n");
    Some(text)
}

fn longest(row: &Row) -> f64 {
    let side = |origin| row.median(origin).unwrap_or_default();
    side(Origin::Ours).max(side(Origin::Upstream))
}

fn draw(text: &mut String, row: &Row, y: f64) {
    let scale = (WIDTH - LEFT - RIGHT) / longest(row);
    let right = LEFT - 8.0;
    let _ = writeln!(
        text,
        "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\
         <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
        y + 10.0,
        escape(&row.case),
        y + 23.0,
        escape(&row.measure)
    );
    let ours = if row.verdict() == Verdict::Met {
        MET
    } else {
        MISSED
    };
    for (origin, colour, y) in [
        (Origin::Upstream, UPSTREAM, y + 2.0),
        (Origin::Ours, ours, y + 4.0 + BAR),
    ] {
        let Some(median) = row.median(origin) else {
            continue;
        };
        let width = (median * scale).max(1.0);
        let mut label = figure(median);
        if origin == Origin::Ours
            && let Some(target) = row
                .targets
                .iter()
                .find(|target| matches!(target, Target::Ratio(_)))
        {
            let ratio = row.ratio().map(figure).unwrap_or_default();
            let _ = write!(
                label,
                " · {ratio} of upstream's, target {}",
                condition(*target, row.better)
            );
        }
        // Inside the bar where there is no room beside it.
        let beside = LEFT + width + 4.0;
        #[allow(clippy::cast_precision_loss)]
        let (x, anchor, fill) = if beside + 5.6 * label.chars().count() as f64 > WIDTH {
            (LEFT + width - 4.0, "end", "#ffffff")
        } else {
            (beside, "start", "#222222")
        };
        let _ = writeln!(
            text,
            "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{}</text>",
            y + 9.5,
            escape(&label)
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::Better;

    #[test]
    fn bars_are_to_scale_and_told_apart_by_verdict() {
        let mut table = Table::new("Pods", "");
        assert_eq!(svg(&table), None);
        table.declare("a < b", "s", Better::Lower, &[Target::Ratio(0.5)]);
        table.declare("c", "pods/s", Better::Higher, &[Target::Ratio(3.0)]);
        for (case, measure, upstream, ours) in [("a < b", "s", 10.0, 2.5), ("c", "pods/s", 100.0, 200.0)] {
            table.add(case, measure, Origin::Upstream, upstream);
            table.add(case, measure, Origin::Ours, ours);
        }
        let text = svg(&table).unwrap();
        let full = WIDTH - LEFT - RIGHT;
        assert!(text.contains("a &lt; b") && !text.contains("a < b"));
        assert!(text.contains(&format!(
            "width=\"{full:.1}\" height=\"{BAR}\" fill=\"{UPSTREAM}\""
        )));
        assert!(text.contains(&format!(
            "width=\"{:.1}\" height=\"{BAR}\" fill=\"{MET}\"",
            full / 4.0
        )));
        assert!(text.contains(&format!("width=\"{full:.1}\" height=\"{BAR}\" fill=\"{MISSED}\"")));
        assert!(text.contains("2.50 · 0.25 of upstream's, target ≤ 0.5"), "{text}");
    }
}
