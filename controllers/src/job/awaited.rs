//! Finalizers that were taken off and are still there in the cache: their pods are counted already.

use machinery::meta::Istr;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

/// Pods by the uid of their Job.
#[derive(Default)]
pub struct Awaited(Mutex<FxHashMap<Istr, FxHashSet<Istr>>>);

impl Awaited {
    /// These are about to be freed.
    pub fn expect<'u>(&self, job: &Istr, pods: impl IntoIterator<Item = &'u Istr>) {
        let mut jobs = self.0.lock();
        jobs.entry(job.clone())
            .or_default()
            .extend(pods.into_iter().cloned());
    }

    /// The cache shows that the pod is free or gone, or it could not be freed.
    pub fn seen(&self, job: &Istr, pod: &Istr) {
        let mut jobs = self.0.lock();
        if let Some(pods) = jobs.get_mut(job) {
            pods.remove(pod);
            if pods.is_empty() {
                jobs.remove(job);
            }
        }
    }

    /// What is awaited of the Job.
    pub fn of(&self, job: &Istr) -> FxHashSet<Istr> {
        self.0.lock().get(job).cloned().unwrap_or_default()
    }

    /// The Job is gone.
    pub fn forget(&self, job: &Istr) {
        self.0.lock().remove(job);
    }
}
