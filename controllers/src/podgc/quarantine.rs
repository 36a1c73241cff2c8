//! Nodes that pods name and the cache lacks. It may show them late, so they are asked for before their pods are deleted.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// How long the cache may take to show a node.
pub const TIME: Duration = Duration::from_secs(40);

/// Since when each missing node is missing.
#[derive(Debug, Default)]
pub struct Quarantine(FxHashMap<Istr, Instant>);

impl Quarantine {
    /// `missing` are all nodes that are missing now. Returns those that were for long enough.
    pub fn update(&mut self, missing: impl IntoIterator<Item = Istr>, now: Instant) -> Vec<Istr> {
        let before = std::mem::take(&mut self.0);
        self.0 = missing
            .into_iter()
            .map(|name| (name.clone(), before.get(&name).copied().unwrap_or(now)))
            .collect();
        let over = self
            .0
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) >= TIME);
        over.map(|(name, _)| name.clone()).collect()
    }

    /// The node was asked for: its time starts anew.
    pub fn restart(&mut self, name: &Istr, now: Instant) {
        self.0.insert(name.clone(), now);
    }

    /// When the next one's time is over.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().min().map(|since| *since + TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_gone_after_a_while_without_them() {
        let (mut quarantine, start) = (Quarantine::default(), Instant::now());
        let name = |text: &str| Istr::from(text);
        assert!(quarantine.update([name("a"), name("b")], start).is_empty());
        assert_eq!(quarantine.next(), Some(start + TIME));
        assert!(quarantine.update([name("a")], start + TIME / 2).is_empty());
        assert_eq!(
            quarantine.update([name("a"), name("b")], start + TIME),
            [name("a")],
            "b was back for a moment"
        );
        quarantine.restart(&name("a"), start + TIME);
        assert!(quarantine.update([name("a")], start + TIME).is_empty());
        assert!(quarantine.update([], start + TIME).is_empty() && quarantine.next().is_none());
    }
}
