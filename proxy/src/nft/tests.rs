//! Transactions against a stand-in for the kernel's tables, which refuses what the kernel refuses.

use super::wire::*;
use super::*;
use crate::model::{Endpoint, External, Family, PortRoute, Protocol, ServiceName};
use crate::netlink::{Attr, Message, attrs, messages};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// What is in one table: sets with elements, chains with rules, all as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fake {
    exists: bool,
    sets: Sets,
    chains: Chains,
}

type Sets = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;
type Chains = BTreeMap<String, Vec<Vec<u8>>>;

impl Fake {
    /// Applies a transaction, or says which message is refused.
    fn apply(&mut self, batch: Batch) -> Result<(), String> {
        let datagram = batch.finish();
        let mut next = self.clone();
        for message in messages(&datagram).filter(|m| m.kind >> 8 == crate::netlink::SUBSYS_NFTABLES) {
            next.message(&message)?;
        }
        next.check()?;
        *self = next;
        Ok(())
    }

    fn message(&mut self, message: &Message<'_>) -> Result<(), String> {
        let find = |kind| attrs(message.payload()).find(kind);
        let name = |kind| {
            find(kind)
                .and_then(|a: Attr<'_>| a.str())
                .unwrap_or_default()
                .to_owned()
        };
        match message.kind & 0xff {
            NEWTABLE => self.exists = true,
            DELTABLE if self.exists => *self = Self::default(),
            DELTABLE => return Err("no table".into()),
            _ if !self.exists => return Err("no table".into()),
            NEWSET => {
                self.sets.entry(name(SET_NAME)).or_default();
            }
            DELSET => {
                let set = name(SET_NAME);
                let used = self.chains.values().flatten().any(|rule| contains(rule, &set));
                if used || self.sets.remove(&set).is_none() {
                    return Err(format!("set {set} is used or not there"));
                }
            }
            NEWCHAIN => {
                self.chains.entry(name(CHAIN_NAME)).or_default();
            }
            DELCHAIN => {
                let chain = name(CHAIN_NAME);
                let empty = self.chains.remove(&chain).is_some_and(|rules| rules.is_empty());
                if !empty || self.targets().contains(&chain) {
                    return Err(format!("chain {chain} is used or not there"));
                }
            }
            NEWRULE => {
                let rule = find(RULE_EXPRESSIONS)
                    .map(|a| a.value.to_vec())
                    .unwrap_or_default();
                let rules = self
                    .chains
                    .get_mut(&name(RULE_CHAIN))
                    .ok_or("a rule without a chain")?;
                if message.flags & crate::netlink::NLM_F_APPEND != 0 {
                    rules.push(rule)
                } else {
                    rules.insert(0, rule)
                }
            }
            DELRULE => self
                .chains
                .get_mut(&name(RULE_CHAIN))
                .ok_or("flush of no chain")?
                .clear(),
            NEWSETELEM | DELSETELEM => {
                let set_name = name(ELEM_LIST_SET);
                let set = self
                    .sets
                    .get_mut(&set_name)
                    .ok_or_else(|| format!("no set {set_name}"))?;
                for element in find(ELEM_LIST_ELEMENTS)
                    .into_iter()
                    .flat_map(|l| l.nested().collect::<Vec<_>>())
                {
                    let part = |kind| {
                        element
                            .nested()
                            .find(kind)
                            .map(|a| a.value.to_vec())
                            .unwrap_or_default()
                    };
                    let (key, value) = (part(ELEM_KEY), part(ELEM_DATA));
                    if message.kind & 0xff == DELSETELEM {
                        set.remove(&key)
                            .ok_or_else(|| format!("no element {key:?} in {set_name}"))?;
                    } else if set
                        .insert(key.clone(), value.clone())
                        .is_some_and(|old| old != value)
                    {
                        return Err(format!("element {key:?} of {set_name} has another value"));
                    }
                }
            }
            other => return Err(format!("message {other}")),
        }
        Ok(())
    }

    /// Chains that rules and map elements lead to.
    fn targets(&self) -> BTreeSet<String> {
        let values = self.sets.values().flat_map(BTreeMap::values);
        let rules = self.chains.values().flatten();
        let all: Vec<&Vec<u8>> = values.chain(rules).collect();
        self.chains
            .keys()
            .filter(|chain| all.iter().any(|bytes| contains(bytes, chain)))
            .cloned()
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        for (name, elements) in &self.sets {
            for value in elements.values() {
                let nested = attrs(value)
                    .find(2)
                    .and_then(|verdict| verdict.nested().find(2))
                    .and_then(|c| c.str());
                if let Some(chain) = nested.filter(|chain| !self.chains.contains_key(*chain)) {
                    return Err(format!("{name} leads to {chain}, which is not there"));
                }
            }
        }
        Ok(())
    }

    /// Without what may stay behind after a change: empty chains, and sets and rules of classes without destinations.
    fn meaning(&self) -> (Sets, Chains) {
        let mut sets = self.sets.clone();
        sets.retain(|name, elements| !(name.contains("spread-") && elements.is_empty()));
        // Which number an endpoint has does not matter.
        for name in ["service-endpoints", "nodeport-endpoints"] {
            let elements = sets.remove(name).unwrap_or_default();
            let loose = elements
                .into_iter()
                .map(|(key, value)| ([&key[..key.len() - 8], &value[..]].concat(), vec![]));
            sets.insert(name.into(), loose.collect());
        }
        let mut chains = self.chains.clone();
        chains.retain(|name, rules| !(name.ends_with("-spread") || name.contains('/') && rules.is_empty()));
        for (name, rules) in &mut chains {
            // Nor does the order of a sticky Service's endpoints.
            if name.starts_with("service-") || name.starts_with("local-") {
                rules.clear();
            }
        }
        (sets, chains)
    }
}

/// A name in attributes: strings end with a zero, and what comes before them does too.
fn contains(bytes: &[u8], name: &str) -> bool {
    bytes.split(|byte| *byte == 0).any(|part| part == name.as_bytes())
}

fn endpoint(n: u8) -> Endpoint {
    Endpoint {
        ip: Ipv4Addr::new(10, 244, 0, n).into(),
        port: 8080,
        local: n.is_multiple_of(2),
    }
}

fn route(id: u8, endpoints: &BTreeSet<u8>) -> PortRoute {
    let cluster: Box<[Endpoint]> = endpoints.iter().copied().map(endpoint).collect();
    PortRoute {
        name: "p".into(),
        protocol: Protocol::Tcp,
        port: 80,
        cluster_ip: Ipv4Addr::new(10, 96, 0, id).into(),
        external: None,
        affinity_seconds: None,
        internal_local: false,
        has_endpoints: !cluster.is_empty(),
        local: cluster.iter().copied().filter(|e| e.local).collect(),
        cluster,
        serving: Box::default(),
    }
}

fn name(id: u8) -> ServiceName {
    ServiceName::new("ns", format!("svc{id}").as_str())
}

#[derive(Clone, Debug)]
struct Step {
    id: u8,
    gone: bool,
    endpoints: BTreeSet<u8>,
    shape: u8,
    affinity: bool,
}

impl Step {
    fn routes(&self) -> Vec<PortRoute> {
        if self.gone {
            return Vec::new();
        }
        let mut route = route(self.id, &self.endpoints);
        route.affinity_seconds = self.affinity.then_some(60);
        route.internal_local = self.shape & 1 != 0;
        if self.shape & 2 != 0 {
            // An external IP and a source range that several Services share.
            let ip: IpAddr = Ipv4Addr::new(192, 0, 2, self.id % 2).into();
            route.external = Some(Box::new(External {
                external_ips: vec![ip],
                load_balancer_ips: vec![ip],
                node_port: Some(30000 + u16::from(self.id % 3)),
                source_ranges: if self.shape & 4 != 0 {
                    vec!["10.0.0.0/8".parse().unwrap()]
                } else {
                    vec![]
                },
                local: self.shape & 8 != 0,
            }));
        }
        vec![route]
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (
        0u8..5,
        any::<bool>(),
        proptest::collection::btree_set(0u8..40, 0..22),
        0u8..16,
        any::<bool>(),
    )
        .prop_map(|(id, gone, endpoints, shape, affinity)| Step {
            id,
            gone,
            endpoints,
            shape,
            affinity,
        });
    proptest::collection::vec(proptest::collection::vec(step, 1..3), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn updates_lead_to_what_a_new_table_would_be(rounds in steps()) {
        let mut table = Table::new(Settings::new(Family::Ipv4));
        let mut kernel = Fake::default();
        kernel.apply(table.rebuild(&[])).unwrap();
        for round in rounds {
            let changes: Vec<_> = round.iter().map(|step| (name(step.id), step.routes())).collect();
            if let Some(batch) = table.update(changes) {
                prop_assert_eq!(kernel.apply(batch), Ok(()));
            }
            let mut anew = Fake::default();
            let mut copy = Table::new(Settings::new(Family::Ipv4));
            // Claims go to who came first, so the copy is made in the order of the original's ownership: by rebuilding.
            copy.clone_from_for_test(&table);
            anew.apply(copy.rebuild(&[])).unwrap();
            prop_assert_eq!(kernel.meaning(), anew.meaning());
        }
        if let Some(batch) = table.reap() {
            prop_assert_eq!(kernel.apply(batch), Ok(()));
        }
    }

    #[test]
    fn a_batch_is_well_formed(rounds in steps()) {
        let mut table = Table::new(Settings::new(Family::Ipv4));
        rounds.iter().flatten().for_each(|step| table.load(name(step.id), step.routes()));
        let datagram = table.rebuild(&[]).finish();
        let all: Vec<_> = messages(&datagram).collect();
        let total: usize = all.iter().map(|m| (m.body.len() + 16).next_multiple_of(4)).sum();
        prop_assert_eq!(total, datagram.len(), "every byte belongs to a message");
        prop_assert_eq!(all.first().map(|m| m.kind), Some(crate::netlink::BATCH_BEGIN));
        prop_assert_eq!(all.last().map(|m| m.kind), Some(crate::netlink::BATCH_END));
        prop_assert!(all.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    }
}

fn set(of: &[u8]) -> BTreeSet<u8> {
    of.iter().copied().collect()
}

#[test]
fn a_change_of_endpoints_names_elements_alone() {
    let mut table = Table::new(Settings::new(Family::Ipv4));
    for id in 0..200 {
        table.load(name(id), vec![route(id, &set(&[1, 3]))]);
    }
    let _ = table.rebuild(&[]);
    let batch = table.update([(name(7), vec![route(7, &set(&[1, 5]))])]).unwrap();
    assert_eq!(
        batch.changes(),
        2,
        "the old endpoint's number goes, and comes back with the new one"
    );
    let datagram = batch.finish();
    let kinds: Vec<u16> = messages(&datagram).map(|m| m.kind & 0xff).collect();
    assert_eq!(kinds, [16, DELSETELEM, NEWSETELEM, 17]);
    assert!(datagram.len() < 400, "{}", datagram.len());
    // One more endpoint moves the destination to another class, whose rule is new once.
    let first = table
        .update([(name(7), vec![route(7, &set(&[1, 3, 5]))])])
        .unwrap();
    assert!(first.changes() > 3);
    let again = table
        .update([(name(8), vec![route(8, &set(&[1, 3, 5]))])])
        .unwrap();
    assert_eq!(
        again.changes(),
        3,
        "one element out of a class, one into another, and the endpoint"
    );
    assert!(
        table
            .update([(name(8), vec![route(8, &set(&[1, 3, 5]))])])
            .is_none(),
        "nothing changed"
    );
}

#[test]
fn who_came_first_has_the_destination_and_the_next_inherits_it() {
    let shared = |id: u8| {
        let mut route = route(id, &set(&[id]));
        route.external = Some(Box::new(External {
            external_ips: vec!["192.0.2.1".parse().unwrap()],
            ..External::default()
        }));
        vec![route]
    };
    let mut table = Table::new(Settings::new(Family::Ipv4));
    let mut kernel = Fake::default();
    kernel.apply(table.rebuild(&[])).unwrap();
    let to = |kernel: &Fake| {
        let vip = Bytes::default()
            .addr("192.0.2.1".parse().unwrap())
            .proto(6)
            .port(80)
            .number(0);
        let endpoints = &kernel.sets["service-endpoints"];
        let found = endpoints
            .iter()
            .find(|(key, _)| contains_bytes(key, vip.as_bytes()));
        found.map(|(_, value)| value[value.len() - 5])
    };
    kernel
        .apply(
            table
                .update([(name(1), shared(1)), (name(3), shared(3))])
                .unwrap(),
        )
        .unwrap();
    assert_eq!(to(&kernel), Some(1));
    kernel.apply(table.update([(name(1), vec![])]).unwrap()).unwrap();
    assert_eq!(to(&kernel), Some(3));
    kernel.apply(table.update([(name(3), vec![])]).unwrap()).unwrap();
    assert_eq!(to(&kernel), None);
}

fn contains_bytes(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn rules_are_encoded_as_nft_encodes_them() {
    // What `nft -f` sends for `reject` in a chain of the family ip.
    let mut batch = Batch::new(crate::netlink::NfProto::Ipv4, "kube-proxy");
    batch.add_rule("reject-chain", &Rule::new(vec![Expr::Reject { code: 3 }]));
    let datagram = batch.finish();
    let rule = messages(&datagram).nth(1).unwrap();
    let expressions = attrs(rule.payload()).find(RULE_EXPRESSIONS).unwrap();
    if cfg!(target_endian = "little") {
        assert_eq!(
            expressions.value,
            b"\x24\x00\x01\x80\x0b\x00\x01\x00\x72\x65\x6a\x65\x63\x74\x00\x00\x14\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x00\x05\x00\x02\x00\x03\x00\x00\x00"
        );
    }
    assert_eq!(rule.flags, 0x1 | 0x4 | 0x400 | 0x800);
}

#[test]
fn sets_are_declared_as_nft_declares_them() {
    let settings = Settings::new(Family::Ipv4);
    let names = Names::default();
    let mut batch = Batch::new(crate::netlink::NfProto::Ipv4, "kube-proxy");
    let sets = super::sets::sets(&settings, &names);
    sets.iter()
        .filter(|s| ["service-ips", "hairpin-connections", "cluster-ips"].contains(&&*s.name))
        .for_each(|s| batch.add_set(s));
    let datagram = batch.finish();
    let mut seen = BTreeMap::new();
    for message in messages(&datagram).filter(|m| m.kind & 0xff == NEWSET) {
        let number = |kind| attrs(message.payload()).find(kind).and_then(|a| a.u32());
        let name = attrs(message.payload()).find(SET_NAME).unwrap().str().unwrap();
        seen.insert(
            name,
            [SET_FLAGS, SET_KEY_TYPE, SET_KEY_LEN, SET_DATA_TYPE, SET_DATA_LEN].map(number),
        );
    }
    // As read from what nft 1.0.6 sent for upstream's definitions.
    assert_eq!(
        seen["service-ips"],
        [Some(8), Some(0x730d), Some(12), Some(0xffff_ff00), Some(0)]
    );
    assert_eq!(
        seen["hairpin-connections"],
        [Some(0), Some(0x1c_730d), Some(16), None, None]
    );
    assert_eq!(seen["cluster-ips"], [Some(0), Some(7), Some(4), None, None]);
}
