//! What part of a log is asked for: the query of `/containerLogs` (PodLogOptions).

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::line::Stream;
use crate::server::query::Query;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Options {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub tail: Option<u64>,
    pub limit: Option<u64>,
    pub since: Option<Timestamp>,
    /// `None`: both.
    pub stream: Option<Stream>,
}

/// Why a query cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BadOptions {
    /// 400
    Unreadable,
    /// 422
    Invalid,
}

impl Options {
    /// Reads the query at the time `now`.
    pub(in crate::server) fn of(query: &Query, now: Timestamp) -> Result<Options, BadOptions> {
        let number = |name: &str| -> Result<Option<i64>, BadOptions> {
            query
                .get(name)
                .map(|text| text.parse().map_err(|_| BadOptions::Unreadable))
                .transpose()
        };
        let positive = |number: Option<i64>, least: i64| match number {
            Some(number) if number < least => Err(BadOptions::Invalid),
            number => Ok(number.and_then(|number| u64::try_from(number).ok())),
        };
        let tail = match query.get("tail") {
            Some("all") => None,
            Some(_) => number("tail")?,
            None => number("tailLines")?,
        };
        let since_seconds = positive(number("sinceSeconds")?, 1)?;
        let since_time: Option<Timestamp> = query
            .get("sinceTime")
            .map(|text| text.parse().map_err(|_| BadOptions::Unreadable))
            .transpose()?;
        let since = match (since_seconds, since_time) {
            (Some(_), Some(_)) => return Err(BadOptions::Invalid),
            (Some(seconds), None) => Some(
                now.checked_sub(Duration::from_secs(seconds))
                    .unwrap_or(Timestamp::MIN),
            ),
            (None, time) => time,
        };
        let stream = match query.get("stream") {
            None | Some("All") => None,
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            Some(_) => return Err(BadOptions::Invalid),
        };
        let tail = positive(tail, 0)?;
        if tail.is_some() && stream.is_some() {
            return Err(BadOptions::Invalid);
        }
        Ok(Options {
            follow: query.boolean("follow").unwrap_or(false),
            previous: query.boolean("previous").unwrap_or(false),
            timestamps: query.boolean("timestamps").unwrap_or(false),
            tail,
            limit: positive(number("limitBytes")?, 1)?,
            since,
            stream,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Options, BadOptions> {
        Options::of(
            &Query::parse(Some(query)),
            "2026-01-01T00:01:40Z".parse().unwrap(),
        )
    }

    #[test]
    fn queries_are_read() {
        assert_eq!(of(""), Ok(Options::default()));
        assert_eq!(
            of("follow=true&previous=false&timestamps=1&tailLines=5&limitBytes=10&sinceSeconds=100"),
            Ok(Options {
                follow: true,
                timestamps: true,
                tail: Some(5),
                limit: Some(10),
                since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                ..Options::default()
            })
        );
        assert_eq!(of("tail=all&tailLines=5").unwrap().tail, None);
        assert_eq!(of("stream=Stderr").unwrap().stream, Some(Stream::Stderr));
        assert_eq!(
            of("sinceTime=2026-01-01T00:00:00%2B01:00")
                .unwrap()
                .since
                .unwrap()
                .to_string(),
            "2025-12-31T23:00:00Z"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (query, want) in [
            ("tailLines=x", BadOptions::Unreadable),
            ("tailLines=-1", BadOptions::Invalid),
            ("limitBytes=0", BadOptions::Invalid),
            ("sinceSeconds=0", BadOptions::Invalid),
            ("sinceTime=yesterday", BadOptions::Unreadable),
            (
                "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
                BadOptions::Invalid,
            ),
            ("stream=stdout", BadOptions::Invalid),
            ("stream=Stdout&tailLines=5", BadOptions::Invalid),
        ] {
            assert_eq!(of(query), Err(want), "{query}");
        }
    }
}
