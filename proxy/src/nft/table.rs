//! The table as it should be, and the transactions that make the kernel's follow.

use super::adopt::AffinityEntry;
use super::batch::Batch;
use super::compile::{Claim, Context, Sink, claims, compile};
use super::element::{Bytes, Element, Value};
use super::layout::{self, TABLE, TABLE_COMMENT};
use super::names::{Class, Names};
use super::object::{Chain, Set};
use super::owners::Owners;
use super::sets::{class_set, sets};
use super::settings::{NodePortAddresses, Settings};
use super::slots::arrange;
use crate::model::{PortRoute, ServiceName};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One family's table: the routes of all Services and who owns which destination.
///
/// Where two Services claim the same destination (an external IP with the same port, say) the first one has it and
/// the next one takes over when it goes.
#[derive(Debug)]
pub struct Table {
    settings: Settings,
    names: Names,
    services: FxHashMap<ServiceName, Box<[PortRoute]>>,
    owners: Owners,
    /// Classes whose sets and rules are in the kernel. They are few and small and stay until the table is made anew.
    classes: BTreeMap<Class, Arc<str>>,
    /// Chains that are empty and that nothing leads to any more.
    stale: FxHashSet<Arc<str>>,
}

/// What one or more ports compile to, in order.
#[derive(Debug, Default)]
struct Compiled {
    elements: Vec<Element>,
    classes: Vec<(Class, Bytes)>,
    chains: BTreeMap<Arc<str>, Chain>,
    sets: BTreeMap<Arc<str>, Set>,
}

impl Sink for Compiled {
    fn element(&mut self, element: Element) {
        self.elements.push(element);
    }

    fn class(&mut self, class: Class, destination: Bytes) {
        self.classes.push((class, destination));
    }

    fn chain(&mut self, chain: Chain) {
        self.chains.insert(chain.name.clone(), chain);
    }

    fn set(&mut self, set: Set) {
        self.sets.insert(set.name.clone(), set);
    }
}

impl Compiled {
    /// Puts destinations into the sets of their classes; sorts, and drops what two ports of a Service both ask for.
    fn normalise(&mut self, classes: &BTreeMap<Class, Arc<str>>) {
        for (class, destination) in self.classes.drain(..) {
            if let Some(set) = classes.get(&class) {
                self.elements.push(Element::new(set, destination, Value::None));
            }
        }
        self.elements
            .sort_by(|a, b| (&a.set, &a.key).cmp(&(&b.set, &b.key)));
        self.elements.dedup_by(|a, b| a.set == b.set && a.key == b.key);
    }
}

impl Table {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            names: Names::default(),
            services: FxHashMap::default(),
            owners: Owners::default(),
            classes: BTreeMap::new(),
            stale: FxHashSet::default(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings; the next transaction must be [`Table::rebuild`].
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    pub fn routes(&self, service: &ServiceName) -> &[PortRoute] {
        self.services
            .get(service)
            .map(|routes| &**routes)
            .unwrap_or_default()
    }

    pub fn services(&self) -> impl Iterator<Item = (&ServiceName, &[PortRoute])> {
        self.services.iter().map(|(name, routes)| (name, &**routes))
    }

    /// Takes the new routes of a Service (none for one that is gone) without making a transaction: for the time
    /// before a [`Table::rebuild`].
    pub fn load(&mut self, service: ServiceName, routes: Vec<PortRoute>) {
        self.replace(service, routes);
    }

    /// Takes the new routes of some Services and makes the transaction that brings the kernel from the old ones to
    /// these. Its size is that of the change. `None` when nothing changes.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceName, Vec<PortRoute>)>,
    ) -> Option<Batch> {
        let changes: BTreeMap<ServiceName, Vec<PortRoute>> = changes.into_iter().collect();
        let mut old = Compiled::default();
        let mut new = Compiled::default();
        for service in changes.keys() {
            self.compile_service(service, &|claim| self.owns(service, claim), &mut old);
        }
        let changed: Vec<ServiceName> = changes.keys().cloned().collect();
        let mut inherited: Vec<(ServiceName, Claim)> = Vec::new();
        for (service, routes) in changes {
            inherited.extend(self.replace(service, routes));
        }
        for service in &changed {
            self.compile_service(service, &|claim| self.owns(service, claim), &mut new);
        }
        for (service, claim) in inherited {
            if changed.binary_search(&service).is_err() && self.owns(&service, &claim) {
                let mut gained = Compiled::default();
                self.compile_service(&service, &|other| *other == claim, &mut gained);
                new.elements.append(&mut gained.elements);
                new.classes.append(&mut gained.classes);
            }
        }
        let mut fresh: Vec<Class> = new.classes.iter().map(|(class, _)| *class).collect();
        fresh.sort_unstable();
        fresh.dedup();
        fresh.retain(|class| !self.classes.contains_key(class));
        for class in &fresh {
            self.classes.insert(*class, class.set(&self.names));
        }
        old.normalise(&self.classes);
        new.normalise(&self.classes);
        let batch = self.difference(&old, &new, &fresh);
        (!batch.is_empty()).then_some(batch)
    }

    /// The same routes and owners, and nothing in the kernel.
    #[cfg(test)]
    pub(super) fn clone_from_for_test(&mut self, other: &Self) {
        self.services.clone_from(&other.services);
        self.owners.clone_from(&other.owners);
    }

    /// The transaction that replaces whatever table is in the kernel, upstream's or ours, by this one at once.
    /// Session affinities in `remembered` survive it.
    pub fn rebuild(&mut self, remembered: &[AffinityEntry]) -> Batch {
        self.classes.clear();
        self.stale.clear();
        let mut batch = Batch::new(self.settings.family.nfproto(), TABLE);
        // Adding it first makes the deletion succeed when there is none.
        batch.add_table(TABLE_COMMENT);
        batch.delete_table();
        batch.add_table(TABLE_COMMENT);

        let mut own = Compiled::default();
        let mut pass = StructurePass {
            compiled: &mut own,
            classes: &mut self.classes,
            names: &self.names,
        };
        let context = Context {
            settings: &self.settings,
            names: &self.names,
        };
        for (service, routes) in &self.services {
            for route in routes {
                compile(
                    context,
                    service,
                    route,
                    &|claim| self.owners.has(service, claim),
                    &mut pass,
                );
            }
        }

        for set in sets(&self.settings, &self.names).iter().chain(own.sets.values()) {
            batch.add_set(set);
        }
        let mut chains = layout::chains(&self.settings, &self.names);
        chains.extend(std::mem::take(&mut own.chains).into_values());
        chains.iter().for_each(|chain| batch.add_chain(chain));
        for chain in &chains {
            chain
                .rules
                .iter()
                .for_each(|rule| batch.add_rule(&chain.name, rule));
        }
        // Each goes to the head of its chain: last the smallest, which is the most common.
        self.classes
            .iter()
            .rev()
            .for_each(|(class, set)| self.add_class(*class, set, &mut batch));

        if let NodePortAddresses::Only(ips) = &self.settings.node_port_addresses {
            for ip in ips {
                batch.add_element(&Element::new(
                    &self.names.node_port_ips,
                    Bytes::default().addr(*ip),
                    Value::None,
                ));
            }
        }
        let mut elements = Compiled::default();
        for service in self.services.keys() {
            elements.elements.clear();
            self.compile_service(service, &|claim| self.owns(service, claim), &mut elements);
            elements.normalise(&self.classes);
            elements
                .elements
                .iter()
                .for_each(|element| batch.add_element(element));
        }
        for entry in remembered {
            if let Some(set) = own.sets.get(&entry.set) {
                let mut element = Element::new(&set.name, entry.key, Value::None);
                element.expires_ms = entry.expires_ms.min(set.timeout_ms);
                batch.add_element(&element);
            }
        }
        batch
    }

    /// Chains that can be deleted: empty, and nothing in the kernel leads to them. Kernels before 6.2 take a moment
    /// to notice the latter, so this is to be called, and committed, a second after the update at the earliest.
    pub fn reap(&mut self) -> Option<Batch> {
        if self.stale.is_empty() {
            return None;
        }
        let mut batch = Batch::new(self.settings.family.nfproto(), TABLE);
        self.stale.drain().for_each(|chain| batch.delete_chain(&chain));
        Some(batch)
    }

    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            names: &self.names,
        }
    }

    fn owns(&self, service: &ServiceName, claim: &Claim) -> bool {
        self.owners.has(service, claim)
    }

    fn compile_service(&self, service: &ServiceName, owns: &dyn Fn(&Claim) -> bool, into: &mut Compiled) {
        for route in self.routes(service) {
            compile(self.context(), service, route, owns, into);
        }
    }

    /// Stores the routes and returns the claims that others inherit.
    fn replace(&mut self, service: ServiceName, mut routes: Vec<PortRoute>) -> Vec<(ServiceName, Claim)> {
        let old = self.services.remove(&service).unwrap_or_default();
        for route in &mut routes {
            if let Some(before) = old
                .iter()
                .find(|o| o.name == route.name && o.protocol == route.protocol)
            {
                route.cluster = arrange(&before.cluster, &route.cluster);
                route.local = arrange(&before.local, &route.local);
            }
        }
        let had: FxHashSet<Claim> = old.iter().flat_map(claims).collect();
        let has: FxHashSet<Claim> = routes.iter().flat_map(claims).collect();
        let mut inherited = Vec::new();
        for claim in had.difference(&has) {
            if let Some(next) = self.owners.release(&service, claim) {
                inherited.push((next.clone(), *claim));
            }
        }
        for claim in has.difference(&had) {
            self.owners.claim(*claim, &service);
        }
        if !routes.is_empty() {
            self.services.insert(service, routes.into());
        }
        inherited
    }

    fn difference(&mut self, old: &Compiled, new: &Compiled, fresh: &[Class]) -> Batch {
        let mut batch = Batch::new(self.settings.family.nfproto(), TABLE);
        let (removed, added) = changed_elements(&old.elements, &new.elements);
        removed.iter().for_each(|element| batch.delete_element(element));

        let changed: Vec<&Chain> = new
            .chains
            .values()
            .filter(|chain| old.chains.get(&chain.name) != Some(chain))
            .collect();
        let gone = old.chains.keys().filter(|name| !new.chains.contains_key(*name));
        // Rules go before the sets that they use, and come after them.
        for chain in changed.iter().filter(|c| old.chains.contains_key(&c.name)) {
            batch.flush_chain(&chain.name);
        }
        for name in gone {
            batch.flush_chain(name);
            self.stale.insert(name.clone());
        }
        for (name, set) in &old.sets {
            if new.sets.get(name) != Some(set) {
                batch.delete_set(name);
            }
        }
        for (name, set) in &new.sets {
            if old.sets.get(name) != Some(set) {
                batch.add_set(set);
            }
        }
        for chain in &changed {
            self.stale.remove(&chain.name);
            batch.add_chain(chain);
        }
        for chain in &changed {
            chain
                .rules
                .iter()
                .for_each(|rule| batch.add_rule(&chain.name, rule));
        }
        for class in fresh {
            if let Some(set) = self.classes.get(class) {
                self.add_class(*class, set, &mut batch);
            }
        }
        added.iter().for_each(|element| batch.add_element(element));
        batch
    }

    fn add_class(&self, class: Class, set: &Arc<str>, batch: &mut Batch) {
        batch.add_set(&class_set(&self.settings, class, set.clone()));
        let chain = self.names.front(class.front).spread(class.scope);
        for rule in layout::class_rules(&self.settings, &self.names, class, set) {
            batch.insert_rule(chain, &rule);
        }
    }
}

/// Takes all but the elements, which are sent as they are made.
struct StructurePass<'a> {
    compiled: &'a mut Compiled,
    classes: &'a mut BTreeMap<Class, Arc<str>>,
    names: &'a Names,
}

impl Sink for StructurePass<'_> {
    fn element(&mut self, _: Element) {}

    fn class(&mut self, class: Class, _: Bytes) {
        self.classes.entry(class).or_insert_with(|| class.set(self.names));
    }

    fn chain(&mut self, chain: Chain) {
        self.compiled.chain(chain);
    }

    fn set(&mut self, set: Set) {
        self.compiled.set(set);
    }
}

/// What is only in `old` and only in `new`; a key with another value is in both. Both must be sorted.
fn changed_elements<'a>(old: &'a [Element], new: &'a [Element]) -> (Vec<&'a Element>, Vec<&'a Element>) {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return (removed, added),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => (&a.set, &a.key).cmp(&(&b.set, &b.key)),
        };
        match order {
            std::cmp::Ordering::Less => removed.extend(old.next()),
            std::cmp::Ordering::Greater => added.extend(new.next()),
            std::cmp::Ordering::Equal => {
                if let (Some(a), Some(b)) = (old.next(), new.next())
                    && a.value != b.value
                {
                    removed.push(a);
                    added.push(b);
                }
            }
        }
    }
}
