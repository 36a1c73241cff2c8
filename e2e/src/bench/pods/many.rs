//! Many pods: all at once, idle, and all away.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::Result;
use machinery::client::DeleteOptions;
use machinery::meta::resources::PODS;

use super::objects::{Pod, pod};
use super::{ALL_GONE, ALL_READY, Bench, LONG, NAMESPACE};
use crate::bench::load::gone;
use crate::bench::table::Table;
use crate::bench::watch::{Kind, Watch};
use crate::machine::process::Usage;
use crate::plan::choice::Origin;

pub const RSS: &str = "RSS, MiB";
pub const CPU: &str = "CPU, millicores";

impl Bench<'_> {
    fn names(&self) -> Vec<String> {
        (0..self.plan.pods)
            .map(|number| format!("many-{number}"))
            .collect()
    }

    /// Makes them all at once, waits until all are Ready, and measures what they take when nothing happens.
    pub(super) async fn many(&self, watch: &mut Watch<Pod>, table: &mut Table, origin: Origin) -> Result<()> {
        let (case, instance) = (self.plan.at_once(), self.instance());
        let mut left: HashSet<String> = self.names().into_iter().collect();
        let meters = self.bed.meters(&instance)?;
        let since = Instant::now();
        let objects = self.names().into_iter().map(|name| pod(&name));
        self.bed.load.create(&PODS, NAMESPACE, objects).await?;
        let ready = until_empty(watch, &mut left, |event| event.is_ready()).await?;
        table.add(
            &case,
            ALL_READY,
            origin,
            ready.saturating_duration_since(since).as_secs_f64(),
        );
        meters.tell(table, &case, origin)?;

        tokio::time::sleep(self.plan.settle).await;
        let pid = self.bed.pid(&instance)?;
        let (since, first) = (Instant::now(), Usage::of(pid)?);
        tokio::time::sleep(self.plan.measure).await;
        let last = Usage::of(pid)?;
        let spent = last.processor.saturating_sub(first.processor).as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // To a tenth of a mebibyte.
        let resident = last.resident as f64 / 1024.0 / 1024.0;
        table.add(&self.plan.idle(), RSS, origin, resident);
        table.add(
            &self.plan.idle(),
            CPU,
            origin,
            1000.0 * spent / since.elapsed().as_secs_f64(),
        );
        Ok(())
    }

    /// Deletes them all at once, and waits until they are gone.
    pub(super) async fn all_gone(
        &self,
        watch: &mut Watch<Pod>,
        table: &mut Table,
        origin: Origin,
    ) -> Result<()> {
        let mut left: HashSet<String> = self.names().into_iter().collect();
        let since = Instant::now();
        self.bed
            .load
            .each(self.names(), |client, name| async move {
                gone(
                    client
                        .delete(&PODS, NAMESPACE, &name, &DeleteOptions::default())
                        .await,
                )
            })
            .await?;
        let last = until_gone(watch, &mut left).await?;
        let took = last.saturating_duration_since(since).as_secs_f64();
        table.add(&self.plan.at_once(), ALL_GONE, origin, took);
        Ok(())
    }
}

async fn until_empty(
    watch: &mut Watch<Pod>,
    left: &mut HashSet<String>,
    done: impl Fn(&Pod) -> bool,
) -> Result<Instant> {
    let all = left.len();
    let left = std::cell::RefCell::new(left);
    watch
        .until(
            LONG,
            |event| {
                let mut left = left.borrow_mut();
                done(&event.object) && left.remove(&event.object.metadata.name) && left.is_empty()
            },
            || format!("{} of {all} pods are not Ready", left.borrow().len()),
        )
        .await
}

async fn until_gone(watch: &mut Watch<Pod>, left: &mut HashSet<String>) -> Result<Instant> {
    let all = left.len();
    let left = std::cell::RefCell::new(left);
    watch
        .until(
            LONG,
            |event| {
                let mut left = left.borrow_mut();
                event.kind == Kind::Deleted && left.remove(&event.object.metadata.name) && left.is_empty()
            },
            || format!("{} of {all} pods are not gone", left.borrow().len()),
        )
        .await
}
