//! What is read back from the kernel before a table is replaced: which client stays with which endpoint.

use super::element::Bytes;
use super::kernel::CommitError;
use super::layout::TABLE;
use super::wire::*;
use crate::model::Family;
use crate::netlink::{NLM_F_DUMP, NLM_F_REQUEST, SUBSYS_NFTABLES, Socket, SocketError, Writer, attrs};
use std::sync::Arc;

/// A client that a session affinity set remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityEntry {
    pub set: Arc<str>,
    pub key: Bytes,
    pub expires_ms: Option<u64>,
}

/// Reads the session affinities of the table that is in the kernel; empty when there is none.
///
/// # Errors
/// When the kernel refuses to list its sets for another reason than that there are none.
pub fn affinity_entries(socket: &mut Socket, family: Family) -> Result<Vec<AffinityEntry>, CommitError> {
    let mut entries = Vec::new();
    for set in affinity_sets(socket, family)? {
        let request = request(
            family,
            GETSETELEM,
            &[(ELEM_LIST_TABLE, TABLE), (ELEM_LIST_SET, &set)],
        );
        let found = absent_is_empty(socket.dump(&request, Vec::new, |found, message| {
            let lists = attrs(message.payload()).filter(|a| a.kind == ELEM_LIST_ELEMENTS);
            for element in lists.flat_map(|list| list.nested()) {
                let key = element
                    .nested()
                    .find(ELEM_KEY)
                    .and_then(|k| k.nested().find(DATA_VALUE));
                let expires_ms = element.nested().find(ELEM_EXPIRATION).and_then(|e| e.u64());
                if let Some(key) = key.and_then(|k| Bytes::from_slice(k.value)) {
                    found.push(AffinityEntry {
                        set: set.clone(),
                        key,
                        expires_ms,
                    });
                }
            }
        }))?;
        entries.extend(found);
    }
    Ok(entries)
}

fn affinity_sets(socket: &mut Socket, family: Family) -> Result<Vec<Arc<str>>, CommitError> {
    let request = request(family, GETSET, &[(SET_TABLE, TABLE)]);
    absent_is_empty(
        socket.dump(&request, Vec::new, |found: &mut Vec<Arc<str>>, message| {
            let mut table = None;
            let mut name = None;
            for attr in attrs(message.payload()) {
                match attr.kind {
                    SET_TABLE => table = attr.str(),
                    SET_NAME => name = attr.str(),
                    _ => {}
                }
            }
            if let (Some(TABLE), Some(name)) = (table, name.filter(|n| n.starts_with("affinity-"))) {
                found.push(name.into());
            }
        }),
    )
}

fn request(family: Family, kind: u16, strings: &[(u16, &str)]) -> Vec<u8> {
    let mut w = Writer::new();
    let mark = w.open_message(
        SUBSYS_NFTABLES << 8 | kind,
        NLM_F_REQUEST | NLM_F_DUMP,
        1,
        family.nfproto(),
        0,
    );
    strings.iter().for_each(|(attr, value)| w.str(*attr, value));
    w.close_message(mark);
    w.into_bytes()
}

fn absent_is_empty<T>(result: Result<Vec<T>, SocketError>) -> Result<Vec<T>, CommitError> {
    match result {
        Err(SocketError::Refused(rustix::io::Errno::NOENT)) => Ok(Vec::new()),
        other => Ok(other?),
    }
}
