//! One nf_tables transaction as one netlink datagram: all of it happens, or none of it.

use super::element::{Element, Value};
use super::object::{Chain, DataType, MapTo, Rule, Set};
use super::userdata::{self, set_userdata, userdata_string};
use super::wire::*;
use crate::netlink::{
    BATCH_BEGIN, BATCH_END, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NfProto, SUBSYS_NFTABLES,
    Writer,
};
use std::sync::Arc;

/// Elements go into one message until it has this many bytes: the list's length field has 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 48 * 1024;

/// Builds a transaction on one table. Objects must be made before they are named by others; elements that are
/// added (or deleted) one after the other are gathered by set, whatever their order.
#[derive(Debug)]
pub struct Batch {
    w: Writer,
    family: NfProto,
    table: Arc<str>,
    seq: u32,
    set_id: u32,
    lists: Vec<List>,
    changes: usize,
}

/// Elements of one set that wait for a message.
#[derive(Debug)]
struct List {
    kind: u16,
    set: Arc<str>,
    elements: Writer,
}

impl Batch {
    pub fn new(family: NfProto, table: impl Into<Arc<str>>) -> Self {
        let mut w = Writer::new();
        let begin = w.open_message(BATCH_BEGIN, NLM_F_REQUEST, 0, NfProto::Unspec, SUBSYS_NFTABLES);
        w.close_message(begin);
        Self {
            w,
            family,
            table: table.into(),
            seq: 0,
            set_id: 0,
            lists: Vec::new(),
            changes: 0,
        }
    }

    pub fn family(&self) -> NfProto {
        self.family
    }

    /// Objects and elements that the transaction names.
    pub fn changes(&self) -> usize {
        self.changes
    }

    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.w.len() + self.lists.iter().map(|list| list.elements.len()).sum::<usize>()
    }

    /// Makes the table if it is not there.
    pub fn add_table(&mut self, comment: &str) {
        self.message(NEWTABLE, NLM_F_CREATE, |w, table| {
            w.str(TABLE_NAME, table);
            w.u32(TABLE_FLAGS, 0);
            w.bytes(TABLE_USERDATA, &userdata_string(userdata::COMMENT, comment));
        });
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(&mut self) {
        self.message(DELTABLE, 0, |w, table| w.str(TABLE_NAME, table));
    }

    /// Makes the chain, without its rules. A chain of this name that is there already is left as it is.
    pub fn add_chain(&mut self, chain: &Chain) {
        self.message(NEWCHAIN, NLM_F_CREATE, |w, table| {
            w.str(CHAIN_TABLE, table);
            w.str(CHAIN_NAME, &chain.name);
            if let Some(hook) = chain.hook {
                w.nest(CHAIN_HOOK, |w| {
                    w.u32(HOOK_NUMBER, hook.number as u32);
                    w.bytes(HOOK_PRIORITY, &hook.priority.to_be_bytes());
                });
                w.str(CHAIN_TYPE, hook.kind.name());
            }
        });
    }

    /// Deletes all rules of the chain.
    pub fn flush_chain(&mut self, chain: &str) {
        self.message(DELRULE, 0, |w, table| {
            w.str(RULE_TABLE, table);
            w.str(RULE_CHAIN, chain);
        });
    }

    pub fn delete_chain(&mut self, chain: &str) {
        self.message(DELCHAIN, 0, |w, table| {
            w.str(CHAIN_TABLE, table);
            w.str(CHAIN_NAME, chain);
        });
    }

    /// Appends a rule to a chain.
    pub fn add_rule(&mut self, chain: &str, rule: &Rule) {
        self.rule(chain, rule, NLM_F_APPEND);
    }

    /// Puts a rule at the head of a chain.
    pub fn insert_rule(&mut self, chain: &str, rule: &Rule) {
        self.rule(chain, rule, 0);
    }

    fn rule(&mut self, chain: &str, rule: &Rule, place: u16) {
        self.message(NEWRULE, NLM_F_CREATE | place, |w, table| {
            w.str(RULE_TABLE, table);
            w.str(RULE_CHAIN, chain);
            w.nest(RULE_EXPRESSIONS, |w| rule.exprs.iter().for_each(|e| e.encode(w)));
            if let Some(comment) = rule.comment {
                w.bytes(RULE_USERDATA, &userdata_string(userdata::COMMENT, comment));
            }
        });
    }

    /// Makes a set or map. One that is there already with the same definition is left as it is; with
    /// another definition the transaction fails with `EEXIST`.
    pub fn add_set(&mut self, set: &Set) {
        self.set_id += 1;
        let id = self.set_id;
        self.message(NEWSET, NLM_F_CREATE, |w, table| {
            w.str(SET_TABLE, table);
            w.str(SET_NAME, &set.name);
            let mut flags = 0;
            if set.to.is_some() {
                flags |= SET_F_MAP;
            }
            if set.timeout_ms.is_some() {
                flags |= SET_F_TIMEOUT | SET_F_EVAL;
            }
            w.u32(SET_FLAGS, flags);
            w.u32(SET_KEY_TYPE, concatenated(&set.key));
            w.u32(SET_KEY_LEN, set.key_len());
            match &set.to {
                Some(MapTo::Verdict) => {
                    w.u32(SET_DATA_TYPE, DATA_TYPE_VERDICT);
                    w.u32(SET_DATA_LEN, 0);
                }
                Some(MapTo::Data(types)) => {
                    w.u32(SET_DATA_TYPE, concatenated(types));
                    w.u32(SET_DATA_LEN, types.iter().map(|t| t.len()).sum());
                }
                None => {}
            }
            w.u32(SET_ID, id);
            if let Some(timeout) = set.timeout_ms {
                w.u64(SET_TIMEOUT, timeout);
            }
            w.bytes(SET_USERDATA, &set_userdata(set));
        });
    }

    pub fn delete_set(&mut self, set: &str) {
        self.message(DELSET, 0, |w, table| {
            w.str(SET_TABLE, table);
            w.str(SET_NAME, set);
        });
    }

    /// Adds an element. Adding one that is there with the same value changes nothing; with another value it fails.
    pub fn add_element(&mut self, element: &Element) {
        self.element(NEWSETELEM, element);
    }

    /// Deletes an element; it fails with `ENOENT` when it is not there.
    pub fn delete_element(&mut self, element: &Element) {
        self.element(DELSETELEM, element);
    }

    /// The finished datagram.
    pub fn finish(mut self) -> Vec<u8> {
        self.close_lists();
        self.seq += 1;
        let end = self.w.open_message(
            BATCH_END,
            NLM_F_REQUEST,
            self.seq,
            NfProto::Unspec,
            SUBSYS_NFTABLES,
        );
        self.w.close_message(end);
        self.w.into_bytes()
    }

    fn message(&mut self, kind: u16, flags: u16, content: impl FnOnce(&mut Writer, &str)) {
        self.close_lists();
        self.changes += 1;
        let mark = self.open(kind, flags);
        let table = self.table.clone();
        content(&mut self.w, &table);
        self.w.close_message(mark);
    }

    fn open(&mut self, kind: u16, flags: u16) -> crate::netlink::Mark {
        // Only the first message is acknowledged: the kernel sends acknowledgements when all went well.
        let ack = if self.seq == 0 { NLM_F_ACK } else { 0 };
        self.seq += 1;
        self.w.open_message(
            SUBSYS_NFTABLES << 8 | kind,
            NLM_F_REQUEST | flags | ack,
            self.seq,
            self.family,
            0,
        )
    }

    fn element(&mut self, kind: u16, element: &Element) {
        self.changes += 1;
        // Deleting a key and adding it again must stay in that order.
        if self.lists.first().is_some_and(|list| list.kind != kind) {
            self.close_lists();
        }
        let same = |list: &List| Arc::ptr_eq(&list.set, &element.set) || list.set == element.set;
        let at = match self.lists.iter().position(same) {
            Some(at) => at,
            None => {
                self.lists.push(List {
                    kind,
                    set: element.set.clone(),
                    elements: Writer::new(),
                });
                self.lists.len() - 1
            }
        };
        let w = &mut self.lists[at].elements;
        w.nest(LIST_ELEM, |w| {
            w.nest(ELEM_KEY, |w| w.bytes(DATA_VALUE, element.key.as_bytes()));
            if kind == DELSETELEM {
                return;
            }
            match &element.value {
                Value::None => {}
                Value::Data(data) => w.nest(ELEM_DATA, |w| w.bytes(DATA_VALUE, data.as_bytes())),
                Value::Verdict(verdict) => w.nest(ELEM_DATA, |w| verdict.encode(w)),
            }
            if let Some(expires) = element.expires_ms {
                w.u64(ELEM_EXPIRATION, expires);
            }
            if let Some(comment) = &element.comment {
                w.bytes(ELEM_USERDATA, &userdata_string(userdata::COMMENT, comment));
            }
        });
        if w.len() >= ELEMENTS_PER_MESSAGE {
            let full = self.lists.swap_remove(at);
            self.close(&full);
        }
    }

    fn close_lists(&mut self) {
        for list in std::mem::take(&mut self.lists) {
            self.close(&list);
        }
    }

    fn close(&mut self, list: &List) {
        let flags = if list.kind == NEWSETELEM { NLM_F_CREATE } else { 0 };
        let mark = self.open(list.kind, flags);
        let table = self.table.clone();
        self.w.str(ELEM_LIST_TABLE, &table);
        self.w.str(ELEM_LIST_SET, &list.set);
        self.w
            .nest(ELEM_LIST_ELEMENTS, |w| w.raw(list.elements.as_bytes()));
        self.w.close_message(mark);
    }
}

/// nft's type of a concatenation: six bits for each part.
fn concatenated(types: &[DataType]) -> u32 {
    types.iter().fold(0, |all, t| all << 6 | *t as u32)
}
