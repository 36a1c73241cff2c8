//! The extension points.
//!
//! A plugin implements [`Plugin`] and one trait for each point at which it has something to say, and hands those out from
//! [`Plugin`]'s `as_...` methods. Calls are per pod, over columns: a filter thins out all candidate rows in one call, a score
//! plugin fills one column. A plugin outside this tree needs nothing but this module and [`crate::cache::Snapshot`].

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::cycle::{CycleState, PodView};
use super::diagnosis::Diagnosis;
use super::event::{ClusterEvent, Hint, Occurrence};
use super::status::Status;
use super::verdict::{Sieve, Verdict};
use crate::api::Pod;
use crate::cache::{RowId, RowSet, Snapshot};
use crate::queue::QueuedPod;

/// The best score that a plugin may give a node after normalization. The worst is 0.
pub const MAX_SCORE: i64 = 100;

/// With more [bands](ScorePlugin::bands) than this rows are better asked one by one.
pub const MAX_BANDS: usize = 64;

/// A plugin: a name and the points at which it takes part.
pub trait Plugin: Send + Sync {
    /// The name by which configuration enables it.
    fn name(&self) -> &'static str;

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        None
    }
    fn as_queue_sort(&self) -> Option<&dyn QueueSort> {
        None
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        None
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        None
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        None
    }
    fn as_post_filter(&self) -> Option<&dyn PostFilter> {
        None
    }
    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        None
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        None
    }
    fn as_reserve(&self) -> Option<&dyn Reserve> {
        None
    }
    fn as_permit(&self) -> Option<&dyn Permit> {
        None
    }
    fn as_pre_bind(&self) -> Option<&dyn PreBind> {
        None
    }
    fn as_bind(&self) -> Option<&dyn Bind> {
        None
    }
    fn as_post_bind(&self) -> Option<&dyn PostBind> {
        None
    }
}

/// How far a plugin looks when it judges or scores a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No further than the row's own columns and the pod's shape: the framework keeps the answer until the row changes, or
    /// until `epoch` does.
    Row { epoch: u64 },
    /// Other rows too, or the pod beyond its shape: asked again for each pod.
    Cluster,
}

/// Decides whether a pod may enter the active queue. Called before each entry.
pub trait PreEnqueue: Plugin {
    /// # Errors
    /// Why the pod has to stay out.
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Status>;
}

/// Orders the active queue. One profile's plugin orders all profiles' pods.
pub trait QueueSort: Plugin {
    /// Whether `one` is scheduled before `other`.
    fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool;
}

/// Says which events may help a pod that the plugin has turned down.
pub trait EnqueueExtensions: Plugin {
    /// The kinds of events of interest.
    fn events(&self) -> Vec<ClusterEvent>;

    /// Whether this very event may help this very pod.
    fn hint(&self, pod: &PodView<'_>, occurrence: &Occurrence, snapshot: &Snapshot) -> Hint {
        let _ = (pod, occurrence, snapshot);
        Hint::Queue
    }
}

/// What a pre-filter found out.
#[derive(Debug)]
pub enum PreFilter {
    /// Every node is worth a look.
    All,
    /// Only these are.
    Only(RowSet),
    /// The plugin's filter has nothing to say about this pod.
    Skip,
}

/// Prepares filtering for a pod.
pub trait PreFilterPlugin: Plugin {
    /// # Errors
    /// The pod fits nowhere, or an error.
    fn pre_filter(
        &self,
        pod: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
    ) -> Result<PreFilter, Status>;
}

/// Turns down nodes that cannot run a pod.
pub trait FilterPlugin: Plugin {
    fn reach(&self, pod: &PodView<'_>, snapshot: &Snapshot) -> Reach;

    /// Judges the candidates that are left.
    fn filter(&self, pod: &PodView<'_>, snapshot: &Snapshot, state: &CycleState, sieve: &mut Sieve<'_>);
}

/// What a post-filter did for a pod that fits nowhere.
#[derive(Clone, Debug)]
pub enum PostFilterOutcome {
    /// It made, or is making, room on this node by evicting these pods.
    Nominate {
        row: RowId,
        victims: Vec<std::sync::Arc<Pod>>,
        message: String,
    },
    /// Nothing helped. The text goes to the pod's condition; `clear` takes an older nomination back.
    Nothing { message: String, clear: bool },
}

/// Tries to help a pod that fits nowhere.
pub trait PostFilter: Plugin {
    fn post_filter(
        &self,
        pod: &PodView<'_>,
        snapshot: &mut Snapshot,
        diagnosis: &Diagnosis,
        refit: &mut dyn Refit,
    ) -> PostFilterOutcome;
}

/// Asks whether a pod would fit a row, as the snapshot is now.
pub trait Refit {
    /// # Errors
    /// The verdict of the filter that turns it down.
    fn refit(&mut self, pod: &PodView<'_>, snapshot: &mut Snapshot, row: RowId) -> Result<(), Verdict>;
}

/// Prepares scoring, once the feasible nodes are known.
pub trait PreScore: Plugin {
    /// Whether the plugin's score has anything to say about this pod.
    ///
    /// # Errors
    /// An error; the pod is retried.
    fn pre_score(
        &self,
        pod: &PodView<'_>,
        snapshot: &mut Snapshot,
        state: &mut CycleState,
        feasible: &RowSet,
    ) -> Result<bool, Status>;
}

/// Ranks the feasible nodes.
pub trait ScorePlugin: Plugin {
    fn reach(&self, pod: &PodView<'_>, snapshot: &Snapshot) -> Reach;

    /// Fills `scores`, one a row of `rows`.
    fn score(
        &self,
        pod: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    );

    /// The scores of the feasible rows by bands, for a plugin with [`Reach::Cluster`] that can tell so: sets of rows with the
    /// score of each, no row in two of them, rows that are not feasible among them or not; those in none score 0. `None` if
    /// rows have to be asked one by one.
    fn bands(
        &self,
        pod: &PodView<'_>,
        snapshot: &Snapshot,
        state: &CycleState,
        feasible: &RowSet,
    ) -> Option<Vec<(i64, RowSet)>> {
        let _ = (pod, snapshot, state, feasible);
        None
    }

    /// Whether [`ScorePlugin::normalize`] has to be called; without it scores are 0 to [`MAX_SCORE`] as they are.
    fn normalizes(&self) -> bool {
        false
    }

    /// Brings the scores of all feasible rows into 0 to [`MAX_SCORE`]. Unless rows are asked one by one for each pod, what
    /// becomes of a score depends on it and on which others there are, not on how often: equal ones may be given once.
    fn normalize(&self, pod: &PodView<'_>, state: &CycleState, scores: &mut [i64]) {
        let _ = (pod, state, scores);
    }
}

/// Keeps account of what a pod is about to use.
pub trait Reserve: Plugin {
    /// # Errors
    /// The node will not do after all; what other plugins reserved is taken back.
    fn reserve(&self, pod: &PodView<'_>, snapshot: &Snapshot, row: RowId) -> Result<(), Status>;

    /// Takes back what was reserved; also called when `reserve` failed.
    fn unreserve(&self, pod: &PodView<'_>, snapshot: &Snapshot, row: RowId);
}

/// Whether a pod may be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Granted,
    /// The pod waits this long at most for somebody to allow it.
    Wait(Duration),
}

/// Lets a pod be bound, or wait.
pub trait Permit: Plugin {
    /// # Errors
    /// The pod must not be bound now.
    fn permit(&self, pod: &PodView<'_>, snapshot: &Snapshot, row: RowId) -> Result<Permission, Status>;
}

/// What binding plugins work on, apart from the snapshot: they run while other pods are scheduled.
#[derive(Clone, Debug)]
pub struct Placement {
    pub pod: std::sync::Arc<Pod>,
    pub node: machinery::meta::Istr,
}

/// The answer of a binding plugin, to be waited for.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// Does what has to be done before a pod is bound, such as binding volumes.
pub trait PreBind: Plugin {
    /// Whether it has anything to do for this pod.
    fn applies(&self, placement: &Placement) -> bool;
    fn pre_bind<'a>(&'a self, placement: &'a Placement) -> Answer<'a, ()>;
}

/// Binds a pod.
pub trait Bind: Plugin {
    /// Whether it bound the pod; `false` leaves it to the next plugin.
    fn bind<'a>(&'a self, placement: &'a Placement) -> Answer<'a, bool>;
}

/// Hears of pods that were bound.
pub trait PostBind: Plugin {
    fn post_bind(&self, placement: &Placement);
}
