//! ImageLocality: prefers nodes that already have a pod's images, the more so the larger and the more widely spread they are.

use crate::cache::{RowId, RowSet, Snapshot};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_SCORE, Plugin, PodView, Status};

const MB: i64 = 1024 * 1024;
/// Images below this size in sum do not count.
const LEAST: i64 = 23 * MB;
/// Beyond this size per image more does not count for more.
const MOST_PER_IMAGE: i64 = 1000 * MB;

pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreScore for ImageLocality {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        snapshot: &mut Snapshot,
        _: &mut CycleState,
        _: &RowSet,
    ) -> Result<bool, Status> {
        // No node has any of the images: every node would score the same.
        Ok(view
            .shape
            .body
            .images
            .iter()
            .any(|image| snapshot.images().holders(image).is_some()))
    }
}

impl ScorePlugin for ImageLocality {
    fn reach(&self, _: &PodView<'_>, snapshot: &Snapshot) -> Reach {
        Reach::Row {
            epoch: snapshot.images().epoch() ^ (snapshot.rows().known() as u64) << 40,
        }
    }

    fn score(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        _: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    ) {
        let images = &view.shape.body.images;
        let nodes = snapshot.rows().known();
        for image in images {
            let Some(holders) = snapshot.images().holders(image) else {
                continue;
            };
            let spread = holders.len() as f64 / nodes as f64;
            for (row, score) in rows.iter().zip(scores.iter_mut()) {
                if let Some(size) = holders.get(row) {
                    *score += (*size as f64 * spread) as i64;
                }
            }
        }
        let most = MOST_PER_IMAGE * images.len() as i64;
        for score in scores {
            *score = MAX_SCORE * ((*score).clamp(LEAST, most) - LEAST) / (most - LEAST);
        }
    }
}
