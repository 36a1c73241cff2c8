//! Where one source's certificate stands: pure.
//!
//! ```text
//! initial ─> waiting ─> held ⇄ held and renewing
//!               └────────┴─> refused (denied or failed: for good)
//! ```

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::request::Request;
use crate::volume::trust::pem;

/// A request that does not show up for so long was deleted.
const ABANDON: SignedDuration = SignedDuration::from_mins(10);
/// A renewal is overdue when it should have begun so long ago.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);

/// What the pod gets, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::volume) struct Credentials {
    pub key: Arc<[u8]>,
    pub chain: Arc<[u8]>,
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    key: Arc<[u8]>,
    name: Box<str>,
    abandon: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    credentials: Credentials,
    renew: Timestamp,
    expires: Timestamp,
    told_overdue: bool,
    told_expired: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    verb: &'static str,
    reason: Box<str>,
    message: Box<str>,
}

/// What is known of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pending: Option<Pending>,
    held: Option<Held>,
    refused: Option<Refused>,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Create a request, and tell the record by [`Record::requested`].
    pub create: bool,
    /// Warnings about the pod: reason and message.
    pub events: Vec<(&'static str, String)>,
    /// Without any change before, look again then.
    pub look_again: Option<Timestamp>,
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl Record {
    /// The name of the request that is under way.
    pub(super) fn pending(&self) -> Option<&str> {
        self.pending.as_ref().map(|pending| &*pending.name)
    }

    /// Whether the pod has nothing yet but may get it any moment.
    pub(super) fn is_first_wait(&self) -> bool {
        self.pending.is_some() && self.held.is_none() && self.refused.is_none()
    }

    /// What the volume shows.
    ///
    /// # Errors
    /// Nothing was issued, or never will be.
    pub(super) fn credentials(&self) -> Result<Credentials, String> {
        match (&self.refused, &self.held) {
            (Some(refused), _) => Err(format!(
                "PodCertificateRequest was permanently {}: reason={:?} message={:?}",
                refused.verb, refused.reason, refused.message
            )),
            (None, Some(held)) => Ok(held.credentials.clone()),
            (None, None) => Err("credential bundle is not issued yet".to_owned()),
        }
    }

    /// The request was created at `made`. Says when to look again.
    pub(super) fn requested(
        &mut self,
        key: Arc<[u8]>,
        name: &str,
        made: Timestamp,
        spread: SignedDuration,
    ) -> Timestamp {
        let abandon = later(later(made, ABANDON), spread);
        self.pending = Some(Pending {
            key,
            name: name.into(),
            abandon,
        });
        abandon
    }

    /// The next step, given the request under way (if it is seen) at `now`. `spread` puts off what many do at once.
    pub(super) fn step(
        &mut self,
        seen: Option<&Request>,
        namespace: &str,
        now: Timestamp,
        spread: SignedDuration,
    ) -> Step {
        let mut step = Step::default();
        if self.refused.is_some() {
            return step;
        }
        if let Some(pending) = self.pending.clone() {
            match seen {
                Some(request) => self.answer(&pending, request, namespace, spread, &mut step),
                // It has not shown up yet, or was deleted: nobody can tell which.
                None if now > pending.abandon => self.pending = None,
                None => {}
            }
        }
        if self.refused.is_some() {
            return step;
        }
        if let Some(held) = &mut self.held {
            let overdue = later(held.renew, OVERDUE);
            if now > overdue && !held.told_overdue {
                held.told_overdue = true;
                let message = "PodCertificate refresh overdue".to_owned();
                step.events.push(("CertificateOverdueForRefresh", message));
            }
            if now > held.expires && !held.told_expired {
                held.told_expired = true;
                let message = "PodCertificate expired".to_owned();
                step.events.push(("CertificateExpired", message));
            }
        }
        let due = self.held.as_ref().is_none_or(|held| now >= held.renew);
        step.create = self.pending.is_none() && due;
        step.look_again = self.next_change(now);
        step
    }

    fn answer(
        &mut self,
        pending: &Pending,
        request: &Request,
        namespace: &str,
        spread: SignedDuration,
        step: &mut Step,
    ) {
        let name = &request.metadata.name;
        for condition in &request.status.conditions {
            let (verb, event, words) = match &*condition.kind {
                "Denied" => ("denied", "Denied", "was denied"),
                "Failed" => ("failed", "Failed", "failed"),
                "Issued" => {
                    let status = &request.status;
                    let time = |time: &Option<_>| {
                        time.as_ref().map_or(
                            Timestamp::MAX,
                            |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| time.0,
                        )
                    };
                    self.held = Some(Held {
                        credentials: Credentials {
                            key: Arc::clone(&pending.key),
                            chain: clean(&status.certificate_chain).into(),
                        },
                        renew: later(time(&status.begin_refresh_at), spread),
                        expires: time(&status.not_after),
                        told_overdue: false,
                        told_expired: false,
                    });
                    self.pending = None;
                    return;
                }
                _ => continue,
            };
            step.events.push((
                event,
                format!(
                    "PodCertificateRequest {namespace}/{name} {words}, reason={:?}, message={:?}",
                    condition.reason, condition.message
                ),
            ));
            *self = Record {
                refused: Some(Refused {
                    verb,
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                }),
                ..Record::default()
            };
            return;
        }
    }

    /// When time alone brings something new.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let held = self.held.as_ref();
        let times = [
            self.pending.as_ref().map(|pending| pending.abandon),
            held.filter(|_| self.pending.is_none()).map(|held| held.renew),
            held.map(|held| later(held.renew, OVERDUE)),
            held.map(|held| held.expires),
        ];
        let next = times.into_iter().flatten().filter(|time| *time >= now).min();
        // Just after it.
        next.map(|time| later(time, SignedDuration::from_millis(10)))
    }
}

/// The chain without whatever stands between its blocks.
fn clean(chain: &str) -> Vec<u8> {
    CertificateDer::pem_slice_iter(chain.as_bytes())
        .flatten()
        .flat_map(|certificate| pem("CERTIFICATE", &certificate))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NONE: SignedDuration = SignedDuration::ZERO;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    fn request(condition: &str) -> Request {
        let chain = String::from_utf8(pem("CERTIFICATE", b"leaf")).unwrap();
        serde_json::from_value(json!({
            "metadata": {"name": "req-1", "namespace": "ns"},
            "spec": {"podUID": "u"},
            "status": {"certificateChain": format!("words\n{chain}words\n"),
                "beginRefreshAt": at(100).to_string(), "notAfter": at(200).to_string(),
                "conditions": [{"type": condition, "reason": "R", "message": "m"}]},
        }))
        .unwrap()
    }

    fn waiting() -> Record {
        let mut record = Record::default();
        assert!(record.step(None, "ns", at(0), NONE).create);
        record.requested(b"key"[..].into(), "req-1", at(0), NONE);
        record
    }

    #[test]
    fn a_request_is_made_once_and_made_again_when_it_vanished() {
        let mut record = waiting();
        assert_eq!(record.pending(), Some("req-1"));
        assert!(record.is_first_wait());
        assert_eq!(
            record.credentials().unwrap_err(),
            "credential bundle is not issued yet"
        );
        for (minute, seen, create) in [
            (1, None, false),
            (1, Some(Request::default()), false),
            (11, Some(Request::default()), false),
            (11, None, true),
        ] {
            let step = record.step(seen.as_ref(), "ns", at(minute), NONE);
            assert_eq!(step.create, create, "{minute} {seen:?}");
        }
    }

    #[test]
    fn what_was_issued_is_shown_and_renewed_in_time() {
        let mut record = waiting();
        let step = record.step(
            Some(&request("Issued")),
            "ns",
            at(1),
            SignedDuration::from_mins(3),
        );
        assert!(!step.create && step.events.is_empty());
        assert_eq!(step.look_again.unwrap().as_second(), at(103).as_second());
        let shown = record.credentials().unwrap();
        assert_eq!(
            (&*shown.key, &*shown.chain),
            (&b"key"[..], &pem("CERTIFICATE", b"leaf")[..])
        );

        assert!(!record.step(None, "ns", at(102), NONE).create);
        assert!(record.step(None, "ns", at(103), NONE).create);
        record.requested(b"new"[..].into(), "req-2", at(103), NONE);
        // The old one is shown meanwhile, and whoever looks at the pod is told when that lasts too long.
        let told = |record: &mut Record, minute| -> Vec<&str> {
            let step = record.step(Some(&Request::default()), "ns", at(minute), NONE);
            step.events.into_iter().map(|(reason, _)| reason).collect()
        };
        assert!(told(&mut record, 110).is_empty());
        assert_eq!(told(&mut record, 114), ["CertificateOverdueForRefresh"]);
        assert_eq!(told(&mut record, 201), ["CertificateExpired"]);
        assert!(told(&mut record, 202).is_empty());
        assert_eq!(&*record.credentials().unwrap().key, b"key");
        record.step(Some(&request("Issued")), "ns", at(203), NONE);
        assert_eq!(&*record.credentials().unwrap().key, b"new");
    }

    #[test]
    fn a_refusal_is_for_good() {
        for (condition, error, event) in [
            (
                "Denied",
                "PodCertificateRequest was permanently denied: reason=\"R\" message=\"m\"",
                "PodCertificateRequest ns/req-1 was denied, reason=\"R\", message=\"m\"",
            ),
            (
                "Failed",
                "PodCertificateRequest was permanently failed: reason=\"R\" message=\"m\"",
                "PodCertificateRequest ns/req-1 failed, reason=\"R\", message=\"m\"",
            ),
        ] {
            let mut record = waiting();
            let step = record.step(Some(&request(condition)), "ns", at(1), NONE);
            assert_eq!(step.events, [(condition, event.to_owned())]);
            assert!(!step.create);
            assert_eq!(record.credentials().unwrap_err(), error);
            assert_eq!(record.step(None, "ns", at(500), NONE), Step::default());
        }
    }
}
