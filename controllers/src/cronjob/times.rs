//! Which time is due, and when the next one comes.

use super::schedule::Schedule;
use crate::api::CronJob;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A little late is better than a little early: clocks differ.
const LATE: SignedDuration = SignedDuration::from_millis(100);
/// More missed times than this are remarkable.
const MANY: i64 = 100;

/// The schedule makes no sense: its times are not a second apart, or never come.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("time difference between two schedules is less than 1 second")]
pub struct NoTimes;

struct Recent {
    earliest: Timestamp,
    latest: Option<Timestamp>,
    missed: i64,
}

/// The latest time up to `now` since the last start, or since the CronJob was made.
fn recent(cron: &CronJob, schedule: &Schedule, now: Timestamp, deadline: bool) -> Result<Recent, NoTimes> {
    let created = cron.metadata.creation_timestamp.map(|time| time.0);
    let mut earliest = cron
        .status
        .last_schedule_time
        .map(|time| time.0)
        .or(created)
        .unwrap_or(now);
    if let Some(seconds) = cron.spec.starting_deadline_seconds.filter(|_| deadline) {
        let oldest = now.checked_sub(SignedDuration::from_secs(seconds));
        earliest = earliest.max(oldest.unwrap_or(Timestamp::MIN));
    }
    let none = |earliest| Recent {
        earliest,
        latest: None,
        missed: 0,
    };
    let first = schedule.next(earliest).ok_or(NoTimes)?;
    if now < first {
        return Ok(none(earliest));
    }
    let second = schedule.next(first).ok_or(NoTimes)?;
    if now < second {
        return Ok(Recent {
            latest: Some(first),
            ..none(earliest)
        });
    }
    // There may be very many of them, so most are jumped over; irregular ones are walked through at the end.
    let between = second.duration_since(first).as_secs();
    if between < 1 {
        return Err(NoTimes);
    }
    let missed = now.duration_since(first).as_secs() / between + 1;
    let jump = SignedDuration::from_secs((missed - 2) * between);
    let mut latest = None;
    let mut at = schedule.next(first.checked_add(jump).map_err(|_| NoTimes)?);
    while let Some(time) = at.filter(|time| *time <= now) {
        latest = Some(time);
        at = schedule.next(time);
    }
    Ok(Recent {
        earliest,
        latest,
        missed,
    })
}

/// A time that has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    pub time: Timestamp,
    /// Whether very many came before it unused.
    pub many_missed: bool,
}

/// The time that is due, if one is.
///
/// # Errors
/// See [`NoTimes`].
pub fn due(cron: &CronJob, schedule: &Schedule, now: Timestamp) -> Result<Option<Due>, NoTimes> {
    let recent = recent(cron, schedule, now, true)?;
    Ok(recent.latest.map(|time| Due {
        time,
        many_missed: recent.missed > MANY,
    }))
}

/// How long until the next time.
pub fn wait(cron: &CronJob, schedule: &Schedule, now: Timestamp) -> Option<Duration> {
    let from = match recent(cron, schedule, now, false) {
        Ok(Recent {
            latest: Some(latest), ..
        }) => latest,
        Ok(Recent {
            earliest, missed: 0, ..
        }) => earliest,
        _ => now,
    };
    let left = (schedule.next(from)? + LATE).duration_since(now);
    Some(left.try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use serde_json::json;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(created: &str, last: Option<&str>, deadline: Option<i64>) -> CronJob {
        serde_json::from_str(
            &json!({ "metadata": { "creationTimestamp": created }, "spec": { "startingDeadlineSeconds": deadline }, "status": { "lastScheduleTime": last } })
                .to_string(),
        )
        .unwrap()
    }

    #[test]
    fn the_latest_time_is_due() {
        let hourly = Schedule::parse("0 * * * *", TimeZone::UTC).unwrap();
        let created = "2026-01-01T09:30:00Z";
        for (last, deadline, now, want, wait_for) in [
            (None, None, "2026-01-01T09:50:00Z", None, 600),
            (
                None,
                None,
                "2026-01-01T10:00:10Z",
                Some("2026-01-01T10:00:00Z"),
                3590,
            ),
            (
                Some("2026-01-01T10:00:00Z"),
                None,
                "2026-01-01T10:00:10Z",
                None,
                3590,
            ),
            (
                Some("2026-01-01T10:00:00Z"),
                None,
                "2026-01-01T15:30:00Z",
                Some("2026-01-01T15:00:00Z"),
                1800,
            ),
            (
                Some("2026-01-01T10:00:00Z"),
                Some(60),
                "2026-01-01T15:30:00Z",
                None,
                1800,
            ),
            (
                Some("2026-01-01T10:00:00Z"),
                Some(3600),
                "2026-01-01T15:30:00Z",
                Some("2026-01-01T15:00:00Z"),
                1800,
            ),
        ] {
            let (cron, now) = (cron(created, last, deadline), time(now));
            let due = due(&cron, &hourly, now).unwrap().map(|due| due.time);
            assert_eq!(due, want.map(time), "at {now}, last {last:?}");
            let left = wait(&cron, &hourly, now).unwrap();
            assert_eq!(
                left,
                Duration::from_secs(wait_for) + Duration::from_millis(100),
                "at {now}, last {last:?}"
            );
        }
    }

    #[test]
    fn many_missed_times_are_told_and_cost_little() {
        let minutely = Schedule::parse("* * * * *", TimeZone::UTC).unwrap();
        let old = cron("1990-01-01T00:00:00Z", None, None);
        let found = due(&old, &minutely, time("2026-01-01T00:00:30Z"))
            .unwrap()
            .unwrap();
        assert_eq!(
            found,
            Due {
                time: time("2026-01-01T00:00:00Z"),
                many_missed: true
            }
        );
        let working = Schedule::parse("30 6-16/4 * * 1-5", TimeZone::UTC).unwrap();
        let old = cron("2026-01-02T10:00:00Z", None, None); // a Friday
        let found = due(&old, &working, time("2026-01-05T07:00:00Z"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.time, found.many_missed),
            (time("2026-01-05T06:30:00Z"), false)
        );
    }

    #[test]
    fn a_time_that_never_comes_is_an_error() {
        let never = Schedule::parse("59 23 31 2 *", TimeZone::UTC).unwrap();
        assert_eq!(
            due(
                &cron("2026-01-01T00:00:00Z", None, None),
                &never,
                time("2026-01-02T00:00:00Z")
            ),
            Err(NoTimes)
        );
    }
}
