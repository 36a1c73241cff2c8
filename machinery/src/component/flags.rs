//! Command-line flags as a table: every flag that upstream has is in it, and works, or is accepted
//! with a warning that says why it has no effect. The grammar is that of Go's pflag.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};

use crate::arith::duration;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--flag`, `--flag=false`.
    Bool,
    /// One value: the last one given counts.
    Text,
    /// Values between commas; more than one flag adds to them.
    List,
    /// `key=value` between commas; more than one flag adds to them.
    Map,
}

/// One flag of upstream's.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it does, or why it does nothing.
    pub help: &'static str,
    /// Whether it has an effect.
    pub works: bool,
}

/// A flag that works.
#[must_use]
pub const fn works(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag {
        name,
        kind,
        help,
        works: true,
    }
}

/// A flag that is known but has no effect, and `why`.
#[must_use]
pub const fn inert(name: &'static str, kind: Kind, why: &'static str) -> Flag {
    Flag {
        name,
        kind,
        help: why,
        works: false,
    }
}

/// A program and its flags.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The program's name.
    pub name: &'static str,
    /// One line on what it is.
    pub about: &'static str,
    /// Tables of flags; [`COMMON`] need not be among them.
    pub flags: &'static [&'static [Flag]],
}

const KLOG: &str = "logs go to standard error, for the service manager to keep";

/// The flags that all of upstream's components share.
pub const COMMON: &[Flag] = &[
    works(
        "version",
        Kind::Bool,
        "print the version and quit; --version=raw prints more",
    ),
    works(
        "v",
        Kind::Text,
        "log level: 0 to 2 what a user needs, 3 and 4 each decision, 5 and more everything",
    ),
    works("logging-format", Kind::Text, "text or json"),
    works(
        "feature-gates",
        Kind::Map,
        "feature gates, as Name=true or Name=false",
    ),
    inert("vmodule", Kind::Text, "log levels are not set by file"),
    inert("log-flush-frequency", Kind::Text, "logs are not buffered"),
    inert("log-text-split-stream", Kind::Bool, KLOG),
    inert("log-text-info-buffer-size", Kind::Text, KLOG),
    inert("log-json-split-stream", Kind::Bool, KLOG),
    inert("log-json-info-buffer-size", Kind::Text, KLOG),
    inert(
        "emulated-version",
        Kind::List,
        "one release's behaviour is built in",
    ),
    inert(
        "min-compatibility-version",
        Kind::List,
        "one release's behaviour is built in",
    ),
    inert(
        "emulation-forward-compatible",
        Kind::Bool,
        "one release's behaviour is built in",
    ),
    inert(
        "runtime-config-emulation-forward-compatible",
        Kind::Bool,
        "one release's behaviour is built in",
    ),
    inert(
        "show-hidden-metrics-for-version",
        Kind::Text,
        "no metrics are hidden",
    ),
    inert("disabled-metrics", Kind::List, "no metrics are switched off"),
    inert(
        "allow-metric-labels",
        Kind::Map,
        "metric labels are bounded by design",
    ),
    inert(
        "allow-metric-labels-manifest",
        Kind::Text,
        "metric labels are bounded by design",
    ),
];

/// The end of a program that only had to say something: help, a version, a bad flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// What is printed: on standard output with code 0, otherwise on standard error.
    pub text: String,
}

impl Exit {
    /// Prints the text where it belongs.
    pub fn print(&self) {
        if self.code == 0 {
            println!("{}", self.text)
        } else {
            eprintln!("{}", self.text)
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl std::error::Error for Exit {}

/// A flag whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {value:?} for flag --{name}: {why}")]
pub struct FlagError {
    /// The flag.
    pub name: String,
    /// What was given.
    pub value: String,
    /// Why it cannot be used.
    pub why: String,
}

/// The flags that were given.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    given: BTreeMap<&'static str, Vec<String>>,
    warnings: Vec<String>,
}

impl Program {
    fn all(&self) -> impl Iterator<Item = &'static Flag> {
        COMMON.iter().chain(self.flags.iter().copied().flatten())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.name)
            .about(self.about)
            .disable_version_flag(true)
            .no_binary_name(true);
        for flag in self.all() {
            let mut arg = Arg::new(flag.name).long(flag.name).action(ArgAction::Append);
            arg = match flag.kind {
                _ if flag.name == "version" => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                Kind::Bool => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_parser(|text: &str| match boolean(text) {
                        Some(_) => Ok(text.to_owned()),
                        None => Err("it is neither true nor false"),
                    }),
                Kind::Text | Kind::List | Kind::Map => arg.num_args(1).allow_hyphen_values(true),
            };
            arg = arg.value_name(match flag.kind {
                Kind::Bool => "BOOL",
                Kind::Text => "VALUE",
                Kind::List => "VALUES",
                Kind::Map => "KEY=VALUE",
            });
            if flag.name == "v" {
                arg = arg.short('v');
            }
            let help = if flag.works {
                flag.help.to_owned()
            } else {
                format!("no effect: {}", flag.help)
            };
            command = command.arg(arg.help(help));
        }
        command
    }

    /// Reads the process's own arguments.
    ///
    /// # Errors
    /// An [`Exit`] for `--help`, `--version`, an unknown flag (which names the nearest one) or a bad value.
    pub fn parse(&self) -> Result<Flags, Exit> {
        self.parse_from(std::env::args().skip(1))
    }

    /// Reads `args`, which are without the program's name.
    ///
    /// # Errors
    /// As [`Program::parse`].
    pub fn parse_from<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Result<Flags, Exit> {
        let args = args.into_iter().map(|arg| normalised(arg.into()));
        let mut matches = self.command().try_get_matches_from(args).map_err(|error| {
            let code = u8::from(!matches!(error.kind(), ErrorKind::DisplayHelp));
            Exit {
                code,
                text: error.render().to_string().trim_end().to_owned(),
            }
        })?;
        let mut flags = Flags::default();
        for flag in self.all() {
            let Some(values) = matches.remove_many::<String>(flag.name) else {
                continue;
            };
            flags.given.insert(flag.name, values.collect());
            if !flag.works {
                flags
                    .warnings
                    .push(format!("flag --{} has no effect: {}", flag.name, flag.help));
            }
        }
        match flags.text("version") {
            Some("false") | None => Ok(flags),
            Some(form) => Err(Exit {
                code: 0,
                text: super::version::text(form == "raw"),
            }),
        }
    }

    /// A table of all flags for the documentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut flags: Vec<_> = self.all().collect();
        flags.sort_unstable_by_key(|flag| flag.name);
        let mut text = format!("# Flags of {}\n\n| flag | effect |\n|---|---|\n", self.name);
        for flag in flags {
            let help = flag.help.replace('|', "\\|");
            let none = if flag.works { "" } else { "none: " };
            text.push_str(&format!("| `--{}` | {none}{help} |\n", flag.name));
        }
        text
    }
}

/// pflag takes `_` for `-` in names.
fn normalised(arg: String) -> String {
    match arg.strip_prefix("--") {
        Some(rest) if rest.contains('_') => match rest.split_once('=') {
            Some((name, value)) => format!("--{}={value}", name.replace('_', "-")),
            None => format!("--{}", rest.replace('_', "-")),
        },
        _ => arg,
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Flags {
    /// Whether the flag was given.
    #[must_use]
    pub fn given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// What to tell the user about flags without effect, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The last value given.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.last().map(String::as_str)
    }

    /// The last value given, unless it is empty.
    #[must_use]
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// A boolean.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(boolean)
    }

    /// All values of a list, without empty ones.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let values = self.given.get(name)?.iter().flat_map(|text| text.split(','));
        Some(values.map(str::trim).filter(|item| !item.is_empty()).collect())
    }

    /// All pairs of a map.
    ///
    /// # Errors
    /// An item is not `key=value`.
    pub fn map(&self, name: &str) -> Result<Option<Vec<(&str, &str)>>, FlagError> {
        let Some(items) = self.list(name) else {
            return Ok(None);
        };
        let pair = |item: &'_ str| {
            item.find('=')
                .ok_or_else(|| self.invalid(name, "write it like key=value"))
        };
        items
            .into_iter()
            .map(|item| pair(item).map(|at| (&item[..at], &item[at + 1..])))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A duration in Go's notation.
    ///
    /// # Errors
    /// The value is no duration.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, FlagError> {
        let parse = |text| duration::parse(text).map_err(|error| self.invalid(name, &error.to_string()));
        self.text(name).map(parse).transpose()
    }

    /// A number, an address, or whatever else is read from a text.
    ///
    /// # Errors
    /// The value cannot be read.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, FlagError>
    where
        T::Err: fmt::Display,
    {
        let parse = |text: &str| {
            text.parse()
                .map_err(|error: T::Err| self.invalid(name, &error.to_string()))
        };
        self.text(name).map(parse).transpose()
    }

    /// The error for a value of `name` that cannot be used.
    #[must_use]
    pub fn invalid(&self, name: &str, why: &str) -> FlagError {
        let value = self
            .given
            .get(name)
            .map(|values| values.join(","))
            .unwrap_or_default();
        FlagError {
            name: name.to_owned(),
            value,
            why: why.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "kube-sample",
        about: "A sample",
        flags: &[&[
            works("kubeconfig", Kind::Text, "how to reach the API server"),
            works("leader-elect", Kind::Bool, "elect a leader"),
            works("controllers", Kind::List, "which to run"),
            works("node-labels", Kind::Map, "labels"),
            works("sync-period", Kind::Text, "how often"),
            inert(
                "contention-profiling",
                Kind::Bool,
                "there is no Go runtime to profile",
            ),
        ]],
    };

    fn parse(args: &[&str]) -> Result<Flags, Exit> {
        PROGRAM.parse_from(args.iter().copied())
    }

    #[test]
    fn the_forms_of_pflag() {
        let flags = parse(&[
            "--kubeconfig",
            "/a",
            "--kubeconfig=/b",
            "--leader_elect",
            "--controllers=a,b",
            "--controllers",
            "-c",
            "--node-labels=x=1,y=",
            "--sync-period=1m30s",
            "-v",
            "4",
        ])
        .unwrap();
        assert_eq!(flags.text("kubeconfig"), Some("/b"));
        assert_eq!(flags.boolean("leader-elect"), Some(true));
        assert_eq!(flags.list("controllers"), Some(vec!["a", "b", "-c"]));
        assert_eq!(flags.map("node-labels"), Ok(Some(vec![("x", "1"), ("y", "")])));
        assert_eq!(flags.duration("sync-period"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(flags.number::<u32>("v"), Ok(Some(4)));
        assert_eq!(
            parse(&["--leader-elect=false"]).unwrap().boolean("leader-elect"),
            Some(false)
        );
        assert_eq!(parse(&["--v=2"]).unwrap().text("v"), Some("2"));
        assert_eq!(parse(&["-v=2"]).unwrap().text("v"), Some("2"));
    }

    #[test]
    fn an_unknown_flag_names_the_nearest() {
        let exit = parse(&["--kubeconfg=/a"]).unwrap_err();
        assert_eq!(exit.code, 1);
        assert!(
            exit.text.contains("--kubeconfg") && exit.text.contains("--kubeconfig"),
            "{exit}"
        );
    }

    #[test]
    fn bad_values_are_named() {
        assert!(
            parse(&["--leader-elect=maybe"])
                .unwrap_err()
                .text
                .contains("maybe")
        );
        assert!(parse(&["stray"]).unwrap_err().text.contains("stray"));
        let flags = parse(&["--sync-period=10", "--node-labels=x"]).unwrap();
        assert!(
            flags
                .duration("sync-period")
                .unwrap_err()
                .to_string()
                .contains("--sync-period")
        );
        assert!(flags.map("node-labels").is_err());
    }

    #[test]
    fn a_flag_without_effect_warns_once() {
        let flags = parse(&["--contention-profiling", "--contention-profiling=false"]).unwrap();
        assert_eq!(
            flags.warnings(),
            ["flag --contention-profiling has no effect: there is no Go runtime to profile"]
        );
    }

    #[test]
    fn versions() {
        assert_eq!(
            parse(&["--version"]),
            Err(Exit {
                code: 0,
                text: "Kubernetes v1.37.1".into()
            })
            .map(|_: ()| Flags::default())
        );
        assert!(parse(&["--version=raw"]).unwrap_err().text.contains("Steersman"));
    }

    impl PartialEq for Flags {
        fn eq(&self, other: &Self) -> bool {
            self.given == other.given
        }
    }
}
