//! The text form of selectors: `app=web,tier in (a, b),!canary` (apimachinery `labels.Parse`), and
//! back, for requests.

use std::fmt;
use std::str::FromStr;

use super::selector::{InvalidSelector, Requirement, Selector, Test};

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut reader = Reader { text, at: 0 };
        let mut requirements = Vec::new();
        reader.skip_space();
        while reader.at < text.len() {
            requirements.push(reader.requirement()?);
            reader.skip_space();
            if reader.at < text.len() {
                reader.expect(",")?;
                reader.skip_space();
                if reader.at == text.len() {
                    return Err(reader.error("a requirement after the comma"));
                }
            }
        }
        Ok(Self::new(requirements))
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, why: &'static str) -> InvalidSelector {
        InvalidSelector::Text {
            text: self.text.into(),
            at: self.at,
            why,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &'static str) -> Result<(), InvalidSelector> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.error("a comma or a closing bracket"))
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || "=!(),<>".contains(c))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn key(&mut self) -> Result<Box<str>, InvalidSelector> {
        match self.word() {
            "" => Err(self.error("a label key")),
            key => Ok(key.into()),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, InvalidSelector> {
        if self.take("!") {
            return Ok(Requirement {
                key: self.key()?,
                test: Test::DoesNotExist,
            });
        }
        let key = self.key()?;
        self.skip_space();
        let one = |value: &str| -> Box<[Box<str>]> { [value.into()].into() };
        let test = if self.take("!=") {
            Test::NotIn(one(self.word()))
        } else if self.take("==") || self.take("=") {
            Test::In(one(self.word()))
        } else if self.take(">") {
            Test::Gt(self.number()?)
        } else if self.take("<") {
            Test::Lt(self.number()?)
        } else if self.rest().is_empty() || self.rest().starts_with(',') {
            Test::Exists
        } else {
            match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                _ => return Err(self.error("one of = == != in notin < >")),
            }
        };
        Ok(Requirement { key, test })
    }

    fn number(&mut self) -> Result<i64, InvalidSelector> {
        self.word().parse().map_err(|_| self.error("an integer"))
    }

    fn values(&mut self) -> Result<Box<[Box<str>]>, InvalidSelector> {
        self.skip_space();
        if !self.take("(") {
            return Err(self.error("an opening bracket"));
        }
        let mut values: Vec<Box<str>> = Vec::new();
        loop {
            values.push(self.word().into());
            self.skip_space();
            if self.take(")") {
                values.sort_unstable();
                values.dedup();
                return Ok(values.into());
            }
            self.expect(",")?;
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let key = &requirement.key;
            match &requirement.test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => write!(f, "{key}")?,
                Test::DoesNotExist => write!(f, "!{key}")?,
                Test::Gt(bound) => write!(f, "{key}>{bound}")?,
                Test::Lt(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_the_text_form() {
        for (text, written) in [
            ("", ""),
            ("a=1", "a=1"),
            ("a==1, b!=2", "a=1,b!=2"),
            ("x in (c, a,b)", "x in (a,b,c)"),
            ("x notin (a)", "x!=a"),
            ("!a,b", "!a,b"),
            ("n>5,m<3", "m<3,n>5"),
            ("a=", "a="),
            ("kubernetes.io/os=linux", "kubernetes.io/os=linux"),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn says_where_a_text_is_wrong() {
        for text in ["a=1,", "a in b", "a in (b", "=1", "a ~ b", "n>x", ",a", "a b"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z=!(),<> 0-9é]{0,30}") {
            if let Ok(selector) = text.parse::<Selector>() {
                let _ = selector.to_string();
            }
        }
    }
}
