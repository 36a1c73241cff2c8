//! What is kept for a shape: the counts of its own terms, and which carried terms are about it.

use crate::cache::carried::{Carried, CarriedId, Pull};
use crate::cache::term::Term;
use crate::cache::{CountHandle, Matcher, Shape, Snapshot};
use crate::framework::CycleState;

/// Both directions.
pub struct Memo {
    /// For each required affinity term: the pods that match all of them, by the term's key.
    pub affinity: Vec<CountHandle>,
    /// Whether the pod matches all of its own required affinity terms.
    pub matches_itself: bool,
    /// For each required anti-affinity term: the pods that match it.
    pub anti_affinity: Vec<CountHandle>,
    /// The preferred terms' weights and the pods that match them.
    pub preferred: Vec<(i64, CountHandle)>,
    /// Carried terms that match the pod.
    about: Vec<CarriedId>,
    /// Carried terms below this were looked at.
    seen: CarriedId,
    namespaces: u64,
}

impl Memo {
    /// Makes sure that the memo is there and up to date.
    pub fn prepare(shape: &Shape, snapshot: &mut Snapshot, state: &mut CycleState) {
        if state.memo.get::<Memo>().is_none() {
            let memo = Self::new(shape, snapshot);
            state.memo.put(memo);
        }
        if let Some(memo) = state.memo.get_mut::<Memo>() {
            memo.catch_up(shape, snapshot);
        }
    }

    fn new(shape: &Shape, snapshot: &mut Snapshot) -> Self {
        let all: Box<[_]> = shape
            .required_affinity
            .iter()
            .map(|term| term.pods.clone())
            .collect();
        let matches_itself = all
            .iter()
            .all(|pods| pods.matches(&shape.namespace, &shape.body.labels, snapshot.namespaces()));
        let together = Matcher {
            all_of: all,
            skip_deleting: false,
        };
        let mut count = |matcher: &Matcher, term: &Term| {
            let key = snapshot.topology_id(&term.key);
            snapshot.count(matcher, key, None)
        };
        let alone = |term: &Term| Matcher {
            all_of: [term.pods.clone()].into(),
            skip_deleting: false,
        };
        Self {
            affinity: shape
                .required_affinity
                .iter()
                .map(|term| count(&together, term))
                .collect(),
            matches_itself,
            anti_affinity: shape
                .required_anti_affinity
                .iter()
                .map(|term| count(&alone(term), term))
                .collect(),
            preferred: shape
                .preferred
                .iter()
                .map(|(weight, term)| (i64::from(*weight), count(&alone(term), term)))
                .collect(),
            about: Vec::new(),
            seen: 0,
            namespaces: snapshot.namespace_epoch(),
        }
    }

    fn catch_up(&mut self, shape: &Shape, snapshot: &Snapshot) {
        if self.namespaces != snapshot.namespace_epoch() {
            self.namespaces = snapshot.namespace_epoch();
            self.about.clear();
            self.seen = 0;
            let labels = &shape.body.labels;
            let matches = |term: &Term| term.pods.matches(&shape.namespace, labels, snapshot.namespaces());
            self.matches_itself = shape.required_affinity.iter().all(matches);
        }
        let carried = snapshot.carried();
        if self.seen == carried.next() {
            return;
        }
        self.about.retain(|id| carried.get(*id).is_some());
        for (id, held) in carried.since(self.seen) {
            if held
                .term
                .pods
                .matches(&shape.namespace, &shape.body.labels, snapshot.namespaces())
            {
                self.about.push(id);
            }
        }
        self.seen = carried.next();
    }

    /// Carried terms that match the pod and have carriers.
    pub fn about<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Carried> {
        self.about.iter().filter_map(|id| snapshot.carried().get(*id))
    }

    /// Those of them that keep the pod away.
    pub fn repelling<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Carried> {
        self.about(snapshot).filter(|held| held.pull == Pull::Repels)
    }
}
