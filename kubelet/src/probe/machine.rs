//! One probe of one container: thresholds, delays, and when the next attempt is due. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

/// The first pause of a startup or readiness probe that was never good; it doubles up to the probe's period.
const EAGER: Duration = Duration::from_millis(100);

/// A container that has just been started is given this long before a failure counts against it.
const MERCY: Duration = Duration::from_secs(1);

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Has it come up? Until then the others rest.
    Startup,
    /// Is it alive? If not, it is restarted.
    Liveness,
    /// May it get traffic?
    Readiness,
}

impl Kind {
    /// As events name it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The probe of a container.
    #[must_use]
    pub fn of(self, container: &core::Container) -> Option<&core::Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well; a warning goes into an event.
    Success(Option<String>),
    /// Badly: the handler's words.
    Failure(String),
    /// It could not be made; it counts for nothing.
    Error(String),
}

/// The numbers of a probe, defaulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Before the first attempt.
    pub initial_delay: Duration,
    /// Between attempts.
    pub period: Duration,
    /// For one attempt.
    pub timeout: Duration,
    /// Successes in a row that make it good.
    pub successes: u32,
    /// Failures in a row that make it bad.
    pub failures: u32,
    /// Asking costs next to nothing: a request, not a process in the container.
    pub is_cheap: bool,
}

impl Settings {
    /// Of a probe.
    #[must_use]
    pub fn of(probe: &core::Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let given = value.and_then(|v| u64::try_from(v).ok());
            Duration::from_secs(given.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value
                .and_then(|v| u32::try_from(v).ok())
                .filter(|v| *v > 0)
                .unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds.filter(|p| *p > 0), 10),
            timeout: seconds(probe.timeout_seconds.filter(|t| *t > 0), 1),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
            is_cheap: probe.exec.is_none(),
        }
    }
}

/// The state of one probe of one running container.
#[derive(Clone, Debug)]
pub struct Machine {
    kind: Kind,
    settings: Settings,
    /// `None`: rests until the container is another one.
    next: Option<Timestamp>,
    in_flight: bool,
    /// Until it has been good once, startup and readiness are asked sooner than their period: this is the next pause.
    eager: Option<Duration>,
    /// When it is asked again for that.
    sooner: Option<Timestamp>,
    /// The attempt under way is one of those.
    extra: bool,
    last: Option<bool>,
    run: u32,
    verdict: Option<bool>,
}

impl Machine {
    /// For a container that was started at `started`. `known`: what is known from before this kubelet started.
    #[must_use]
    pub fn new(kind: Kind, settings: Settings, started: Timestamp, known: Option<bool>) -> Self {
        let first = started.checked_add(settings.initial_delay).ok();
        let counted = match kind {
            Kind::Readiness => first,
            Kind::Startup | Kind::Liveness => {
                first.and_then(|f| f.checked_add(settings.period.min(MERCY)).ok())
            }
        };
        let eager = kind != Kind::Liveness && known.is_none() && settings.is_cheap;
        let done = kind == Kind::Startup && known == Some(true);
        Self {
            kind,
            settings,
            next: if done { None } else { counted },
            in_flight: false,
            eager: eager.then_some(EAGER),
            sooner: first.filter(|_| eager && kind == Kind::Startup),
            extra: false,
            last: None,
            run: 0,
            verdict: known,
        }
    }

    /// What it has decided.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// For one attempt.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// When the next attempt is due; `started`: whether the container has come up.
    #[must_use]
    pub fn due(&self, started: bool) -> Option<Timestamp> {
        let waits = (self.kind == Kind::Startup) == started;
        if self.in_flight || waits {
            return None;
        }
        match (self.next, self.sooner) {
            (Some(next), Some(sooner)) => Some(next.min(sooner)),
            (next, _) => next,
        }
    }

    /// The attempt under way is beside the probe's rhythm: its failure is no news.
    #[must_use]
    pub fn is_extra(&self) -> bool {
        self.extra
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Timestamp) {
        self.in_flight = true;
        self.extra = self.next.is_some_and(|next| next > now);
        self.sooner = None;
        if self.extra {
            return;
        }
        // Keeps the rhythm, but never catches up on what was missed.
        let planned = self.next.and_then(|n| n.checked_add(self.settings.period).ok());
        let earliest = now.checked_add(self.settings.period).ok();
        self.next = match (planned, earliest) {
            (Some(planned), _) if planned > now => Some(planned),
            (_, earliest) => earliest,
        };
    }

    /// An attempt has ended at `now`; whether the verdict is another one now.
    pub fn absorb(&mut self, outcome: &Outcome, now: Timestamp) -> bool {
        self.in_flight = false;
        if let Some(pause) = self.eager
            && !matches!(outcome, Outcome::Success(_))
        {
            self.sooner = now.checked_add(pause).ok();
            self.eager = Some(pause * 2).filter(|p| *p < self.settings.period);
            if self.extra {
                return false;
            }
        }
        let good = match outcome {
            Outcome::Success(_) => true,
            Outcome::Failure(_) => false,
            Outcome::Error(_) => return false,
        };
        if self.last == Some(good) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(good);
            self.run = 1;
        }
        let needed = if good {
            self.settings.successes
        } else {
            self.settings.failures
        };
        if self.run < needed {
            return false;
        }
        let changed = self.verdict != Some(good);
        self.verdict = Some(good);
        if good {
            (self.eager, self.sooner) = (None, None);
        }
        // A container that is to be restarted, or is up, is left in peace.
        if self.kind == Kind::Startup || (self.kind == Kind::Liveness && !good) {
            self.next = None;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn machine(kind: Kind, known: Option<bool>) -> Machine {
        let settings = Settings::of(&core::Probe {
            initial_delay_seconds: Some(5),
            period_seconds: Some(10),
            success_threshold: Some(2),
            ..Default::default()
        });
        Machine::new(kind, settings, at(100), known)
    }

    /// `+` a success, `-` a failure, `?` an error; the verdict after each.
    fn verdicts(machine: &mut Machine, outcomes: &str) -> Vec<Option<bool>> {
        let one = |c| match c {
            '+' => Outcome::Success(None),
            '-' => Outcome::Failure(String::new()),
            _ => Outcome::Error(String::new()),
        };
        outcomes
            .chars()
            .map(|c| {
                machine.absorb(&one(c), at(0));
                machine.verdict()
            })
            .collect()
    }

    #[test]
    fn thresholds_count_runs_and_errors_count_for_nothing() {
        let (n, t, f) = (None, Some(true), Some(false));
        assert_eq!(
            verdicts(&mut machine(Kind::Readiness, n), "+?+--+---"),
            [n, n, t, t, t, t, t, t, f]
        );
        assert_eq!(verdicts(&mut machine(Kind::Readiness, t), "--"), [t, t]);
    }

    #[test]
    fn attempts_keep_their_rhythm_and_never_pile_up() {
        let mut m = machine(Kind::Liveness, None);
        assert_eq!(m.due(true), Some(at(106)));
        assert_eq!(m.due(false), None, "rests until the container is up");
        m.begin(at(107));
        assert_eq!(m.due(true), None, "one at a time");
        m.absorb(&Outcome::Success(None), at(0));
        assert_eq!(m.due(true), Some(at(116)));
        m.begin(at(140));
        m.absorb(&Outcome::Success(None), at(0));
        assert_eq!(m.due(true), Some(at(150)));
    }

    #[test]
    fn readiness_is_asked_sooner_until_it_was_good_once_and_extra_failures_do_not_count() {
        let mut m = machine(Kind::Readiness, None);
        let millis = |m: &Machine| m.due(true).unwrap().as_millisecond();
        assert_eq!(millis(&m), 105_000);
        m.begin(at(105));
        m.absorb(&Outcome::Failure(String::new()), at(105));
        assert!(!m.is_extra());
        for due in [105_100, 105_300, 105_700] {
            assert_eq!(millis(&m), due);
            let now = Timestamp::from_millisecond(due).unwrap();
            m.begin(now);
            assert!(m.is_extra());
            m.absorb(&Outcome::Failure(String::new()), now);
            assert_eq!(m.verdict(), None);
        }
        m.begin(at(115));
        m.absorb(&Outcome::Success(None), at(115));
        m.begin(at(125));
        m.absorb(&Outcome::Success(None), at(125));
        assert_eq!((m.verdict(), millis(&m)), (Some(true), 135_000));
    }

    #[test]
    fn startup_is_asked_at_once_but_failures_count_a_little_later() {
        let mut m = machine(Kind::Startup, None);
        assert_eq!(m.due(false), Some(at(105)));
        m.begin(at(105));
        m.absorb(&Outcome::Failure(String::new()), at(105));
        assert!(m.is_extra());
        for second in [106, 116, 126] {
            m.begin(at(second));
            assert!(!m.is_extra());
            assert_eq!(m.verdict(), None);
            m.absorb(&Outcome::Failure(String::new()), at(second));
        }
        assert_eq!(m.verdict(), Some(false));
    }

    #[test]
    fn startup_ends_with_its_verdict_and_liveness_with_a_bad_one() {
        let mut m = machine(Kind::Startup, None);
        assert!(m.due(false).is_some() && m.due(true).is_none());
        verdicts(&mut m, "++");
        assert_eq!(m.due(false), None);
        let mut m = machine(Kind::Liveness, None);
        verdicts(&mut m, "---");
        assert_eq!((m.verdict(), m.due(true)), (Some(false), None));
        assert_eq!(
            machine(Kind::Startup, Some(true)).due(false),
            None,
            "was up before the kubelet restarted"
        );
    }
}
