use super::adopt::{AffinityEntry, affinity_entries};
use super::batch::Batch;
use super::layout::TABLE;
use super::wire::*;
use crate::model::Family;
use crate::netlink::{Message, NfProto, Socket, SocketError, attrs, messages};
use rustix::io::Errno;

/// The kernel's nf_tables, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
}

/// Why a transaction did not happen. None of it did.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("nf_tables refused to {what}: {errno}{}{}", text_prefix(.text), .text)]
    Refused {
        what: String,
        errno: Errno,
        text: String,
    },
    #[error("nf_tables did not answer a transaction of {bytes} bytes")]
    Silent { bytes: usize },
}

fn text_prefix(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

impl CommitError {
    /// What was named does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                errno: Errno::NOENT,
                ..
            }
        )
    }
}

impl Kernel {
    /// # Errors
    /// When there is no nf_tables here or no permission to use it.
    pub fn open() -> Result<Self, CommitError> {
        Ok(Self {
            socket: Socket::open()?,
        })
    }

    /// Makes the transaction happen, all of it or nothing.
    ///
    /// # Errors
    /// The first refusal, with the object that it was about and the kernel's words where it had any.
    pub fn commit(&mut self, batch: Batch) -> Result<(), CommitError> {
        let datagram = batch.finish();
        let mut answered = false;
        let mut refusal: Option<CommitError> = None;
        let result = self.socket.exchange(&datagram, |answer| {
            let Some(failure) = answer.failure() else { return };
            if failure.errno == 0 {
                answered = true;
            } else if refusal.is_none() {
                let message = messages(&datagram).find(|m| m.seq == failure.seq && m.kind >> 8 != 0);
                refusal = Some(CommitError::Refused {
                    what: message.map_or_else(|| "commit the transaction".into(), |m| describe(&m)),
                    errno: Errno::from_raw_os_error(failure.errno),
                    text: failure.text.unwrap_or_default().to_owned(),
                });
            }
        });
        let outcome = match (refusal, result) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) if !answered => Err(CommitError::Silent {
                bytes: datagram.len(),
            }),
            (None, Ok(())) => Ok(()),
        };
        if outcome.is_err() {
            // Answers that did not fit the receive buffer must not be taken for those of the next transaction.
            self.socket = Socket::open()?;
        }
        outcome
    }

    /// Deletes the table of this family, upstream's or ours. There being none is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn delete_table(&mut self, family: Family) -> Result<(), CommitError> {
        let mut batch = Batch::new(family.nfproto(), TABLE);
        batch.delete_table();
        match self.commit(batch) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Reads the session affinities of the table in the kernel.
    ///
    /// # Errors
    /// When the kernel refuses to list them.
    pub fn affinity_entries(&mut self, family: Family) -> Result<Vec<AffinityEntry>, CommitError> {
        affinity_entries(&mut self.socket, family)
    }
}

/// Says in words what a message asks for.
fn describe(message: &Message<'_>) -> String {
    let string = |kind| {
        attrs(message.payload())
            .find(kind)
            .and_then(|a| a.str())
            .unwrap_or("?")
            .to_owned()
    };
    let family = if message.family() == NfProto::Ipv6 as u8 {
        "ip6"
    } else {
        "ip"
    };
    let table = string(TABLE_NAME);
    let object = match message.kind & 0xff {
        NEWTABLE => "create the table".to_owned(),
        DELTABLE => "delete the table".to_owned(),
        NEWCHAIN => format!("create chain {} in table", string(CHAIN_NAME)),
        DELCHAIN => format!("delete chain {} in table", string(CHAIN_NAME)),
        NEWRULE => format!("add a rule to chain {} in table", string(RULE_CHAIN)),
        DELRULE => format!("flush chain {} in table", string(RULE_CHAIN)),
        NEWSET => format!("create set {} in table", string(SET_NAME)),
        DELSET => format!("delete set {} in table", string(SET_NAME)),
        NEWSETELEM => format!("add elements to set {} in table", string(ELEM_LIST_SET)),
        DELSETELEM => format!("delete elements of set {} in table", string(ELEM_LIST_SET)),
        other => format!("do request {other} in table"),
    };
    format!("{object} {family} {table}")
}
