//! Query strings of the kubelet's endpoints.

use std::borrow::Cow;

/// The decoded parameters of a query, in order; a name may be there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Query {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name).into_owned(), decode(value).into_owned())
            });
        Query(pairs.collect())
    }

    /// The first value; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    pub(super) fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// `1` is yes for streams.
    pub(super) fn is_one(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// As Go reads booleans.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            _ => Some(false),
        }
    }
}

/// Percent-decodes; what is no escape stays as it is, and what is no text is replaced.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Which streams an exec or attach wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Streams {
    /// # Errors
    /// If it wants none.
    pub(super) fn of(query: &Query) -> Result<Streams, &'static str> {
        let tty = query.is_one("tty");
        let streams = Streams {
            stdin: query.is_one("input"),
            stdout: query.is_one("output"),
            // A terminal has one output.
            stderr: query.is_one("error") && !tty,
            tty,
        };
        if streams.stdin || streams.stdout || streams.stderr {
            Ok(streams)
        } else {
            Err("you must specify at least 1 of stdin, stdout, stderr")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_in_order() {
        let query = Query::parse(Some(
            "command=sh&command=-c&command=echo+%22a%26b%22&x=%zz&empty=",
        ));
        let commands: Vec<_> = query.all("command").collect();
        assert_eq!(commands, ["sh", "-c", "echo \"a&b\""]);
        assert_eq!(query.get("x"), Some("%zz"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn a_terminal_swallows_the_error_stream() {
        let of = |query: &str| Streams::of(&Query::parse(Some(query)));
        assert_eq!(
            of("input=1&output=1&error=1&tty=1"),
            Ok(Streams {
                stdin: true,
                stdout: true,
                stderr: false,
                tty: true
            })
        );
        assert!(of("error=1&tty=1").is_err());
        assert!(of("").is_err());
        assert!(of("output=1").is_ok_and(|streams| !streams.tty));
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_read_without_panic(query in "[a-z%+&=0-9ü]*") {
            let _ = Query::parse(Some(&query));
        }
    }
}
