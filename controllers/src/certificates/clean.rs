//! Which requests are old enough to go.

use super::request::SigningRequest;
use jiff::{SignedDuration, Timestamp};
use machinery::meta::Time;
use x509_parser::pem::parse_x509_pem;

const ISSUED: SignedDuration = SignedDuration::from_hours(1);
const REFUSED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// Whether the request goes: nobody looks at it any more.
pub fn is_over(request: &SigningRequest, now: Timestamp) -> bool {
    let older =
        |time: Option<Time>, age: SignedDuration| time.is_some_and(|time| now.duration_since(time.0) > age);
    let told = |kind: &str, age| request.told(kind).is_some_and(|time| older(time, age));
    let approved = if request.is_issued() { ISSUED } else { PENDING };
    told("Approved", approved)
        || told("Denied", REFUSED)
        || told("Failed", REFUSED)
        || (request.status.conditions.is_empty() && older(request.metadata.creation_timestamp, PENDING))
        || (request.told("Approved").is_some() && has_expired(request, now))
}

fn has_expired(request: &SigningRequest, now: Timestamp) -> bool {
    let Some(pem) = request.certificate() else {
        return false;
    };
    let Ok((_, pem)) = parse_x509_pem(&pem) else {
        return false;
    };
    pem.parse_x509()
        .is_ok_and(|certificate| certificate.validity().not_after.timestamp() < now.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_decided_goes_after_an_hour_and_what_is_not_after_a_day() {
        let start = Timestamp::from_second(1_000_000).unwrap();
        let request = |status: &Value| -> SigningRequest {
            let object = json!({ "metadata": { "name": "r", "creationTimestamp": start.to_string() }, "status": status });
            serde_json::from_str(&object.to_string()).unwrap()
        };
        let told =
            |kind: &str| json!({ "conditions": [{ "type": kind, "lastUpdateTime": start.to_string() }] });
        let mut issued = told("Approved");
        issued["certificate"] = "eA==".into();
        for (status, hours) in [
            (json!({}), 24),
            (told("Denied"), 1),
            (told("Failed"), 1),
            (told("Approved"), 24),
            (issued, 1),
        ] {
            let (request, age) = (request(&status), SignedDuration::from_hours(hours));
            assert!(!is_over(&request, start + age), "{status}");
            assert!(
                is_over(&request, start + age + SignedDuration::from_secs(1)),
                "{status}"
            );
        }
    }
}
