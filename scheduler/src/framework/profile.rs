//! A profile: which plugins run at which point, in which order, with which weight.

use std::sync::Arc;

use machinery::meta::Istr;
use smallvec::SmallVec;

use super::event::{ClusterEvent, EventResource, Hint, Occurrence};
use super::plugin::Plugin;
use super::status::Status;
use super::{PodView, plugin};
use crate::api::Pod;
use crate::cache::{RowId, Snapshot};
use crate::queue::QueuedPod;

/// A plugin as profiles share it.
pub type PluginRef = Arc<dyn Plugin>;

/// A profile, ready to run.
#[derive(Default)]
pub struct Framework {
    /// The `schedulerName` by which pods ask for it.
    pub name: Istr,
    pub percentage_of_nodes_to_score: Option<i32>,
    pub pre_enqueue: Vec<PluginRef>,
    pub queue_sort: Vec<PluginRef>,
    pub pre_filter: Vec<PluginRef>,
    pub filter: Vec<PluginRef>,
    pub post_filter: Vec<PluginRef>,
    pub pre_score: Vec<PluginRef>,
    /// With their weights.
    pub score: Vec<(PluginRef, i64)>,
    pub reserve: Vec<PluginRef>,
    pub permit: Vec<PluginRef>,
    pub pre_bind: Vec<PluginRef>,
    pub bind: Vec<PluginRef>,
    pub post_bind: Vec<PluginRef>,
    /// Plugins and the events that they registered.
    pub(crate) interests: Vec<(PluginRef, Vec<ClusterEvent>)>,
}

impl Framework {
    /// Collects the events that the enabled plugins want to hear of. Call it once the lists are complete.
    pub fn register_events(&mut self) {
        let mut interests: Vec<(PluginRef, Vec<ClusterEvent>)> = Vec::new();
        let lists = [
            &self.pre_enqueue,
            &self.pre_filter,
            &self.filter,
            &self.post_filter,
            &self.reserve,
            &self.permit,
        ];
        for plugin in lists.into_iter().flatten() {
            if interests.iter().any(|(held, _)| held.name() == plugin.name()) {
                continue;
            }
            let events = match plugin.as_enqueue_extensions() {
                Some(extensions) => extensions.events(),
                // A plugin that does not say is taken to want everything.
                None => vec![ClusterEvent::EVERYTHING],
            };
            interests.push((plugin.clone(), events));
        }
        self.interests = interests;
    }

    /// Whether a plugin that `holds` picks has registered such an event.
    pub fn is_of_interest(&self, event: &ClusterEvent, holds: &dyn Fn(&'static str) -> bool) -> bool {
        let wants = |events: &[ClusterEvent]| events.iter().any(|wanted| wanted.covers(event));
        event.resource == EventResource::Any
            || self
                .interests
                .iter()
                .any(|(plugin, events)| wants(events) && holds(plugin.name()))
    }

    /// What the plugins among `rejectors` say to an event: those that would queue the pod.
    pub fn hinting(
        &self,
        pod: &PodView<'_>,
        rejectors: &[&'static str],
        occurrence: &Occurrence,
        snapshot: &Snapshot,
    ) -> SmallVec<[&'static str; 2]> {
        let mut queueing = SmallVec::new();
        for (plugin, events) in &self.interests {
            if !rejectors.contains(&plugin.name())
                || !events.iter().any(|wanted| wanted.covers(&occurrence.event))
            {
                continue;
            }
            let hint = plugin
                .as_enqueue_extensions()
                .map_or(Hint::Queue, |plugin| plugin.hint(pod, occurrence, snapshot));
            if hint == Hint::Queue {
                queueing.push(plugin.name());
            }
        }
        queueing
    }

    /// Whether the pod may enter the active queue.
    ///
    /// # Errors
    /// The answer of the plugin that keeps it out.
    pub fn run_pre_enqueue(&self, pod: &Pod) -> Result<(), Status> {
        for plugin in &self.pre_enqueue {
            if let Some(pre_enqueue) = plugin.as_pre_enqueue() {
                pre_enqueue
                    .pre_enqueue(pod)
                    .map_err(|status| status.by(plugin.name()))?;
            }
        }
        Ok(())
    }

    /// Whether `one` comes before `other` in the active queue.
    pub fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool {
        self.queue_sort
            .first()
            .and_then(|plugin| plugin.as_queue_sort())
            .is_some_and(|sort| sort.less(one, other))
    }

    /// Reserves at every plugin; takes back what was reserved if one refuses.
    ///
    /// # Errors
    /// The refusal.
    pub fn run_reserve(&self, pod: &PodView<'_>, snapshot: &Snapshot, row: RowId) -> Result<(), Status> {
        for plugin in &self.reserve {
            if let Some(Err(status)) = plugin
                .as_reserve()
                .map(|reserve| reserve.reserve(pod, snapshot, row))
            {
                self.run_unreserve(pod, snapshot, row);
                return Err(status.by(plugin.name()));
            }
        }
        Ok(())
    }

    /// Takes back what was reserved, last first.
    pub fn run_unreserve(&self, pod: &PodView<'_>, snapshot: &Snapshot, row: RowId) {
        for plugin in self.reserve.iter().rev() {
            if let Some(reserve) = plugin.as_reserve() {
                reserve.unreserve(pod, snapshot, row);
            }
        }
    }

    /// Asks every plugin's permission: granted, or the longest wait that one asks for.
    ///
    /// # Errors
    /// The first refusal.
    pub fn run_permit(
        &self,
        pod: &PodView<'_>,
        snapshot: &Snapshot,
        row: RowId,
    ) -> Result<plugin::Permission, Status> {
        let mut permission = plugin::Permission::Granted;
        for plugin in &self.permit {
            let Some(permit) = plugin.as_permit() else {
                continue;
            };
            match (
                permit
                    .permit(pod, snapshot, row)
                    .map_err(|status| status.by(plugin.name()))?,
                permission,
            ) {
                (plugin::Permission::Granted, _) => {}
                (plugin::Permission::Wait(wait), plugin::Permission::Wait(held)) => {
                    permission = plugin::Permission::Wait(wait.max(held));
                }
                (wait, plugin::Permission::Granted) => permission = wait,
            }
        }
        Ok(permission)
    }
}
