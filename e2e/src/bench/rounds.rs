//! Both sides in turns, as often as there is time for.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::table::Table;
use crate::cluster::progress::Progress;
use crate::plan::choice::Origin;

/// How often, and for how long, both sides are measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// At most.
    pub count: u32,
    /// No round begins that would probably end after this; one round there is always.
    pub budget: Duration,
    /// A side that takes longer in one round has failed.
    pub patience: Duration,
}

/// Which side comes first changes from round to round, so that neither gains by it.
pub fn order(round: u32) -> [Origin; 2] {
    if round % 2 == 1 {
        [Origin::Upstream, Origin::Ours]
    } else {
        [Origin::Ours, Origin::Upstream]
    }
}

/// Whether there is time for one more round after `done` of them took `elapsed`.
fn goes_on(rounds: Rounds, done: u32, elapsed: Duration) -> bool {
    done < rounds.count && (done == 0 || elapsed + elapsed / done <= rounds.budget)
}

impl Rounds {
    /// Calls `side` for each side of each round; what fails is written down, and the rest goes on.
    pub async fn run(
        self,
        table: &mut Table,
        case: &str,
        progress: Progress,
        mut side: impl AsyncFnMut(&mut Table, Origin, u32) -> Result<()>,
    ) {
        let since = Instant::now();
        let mut done = 0;
        while goes_on(self, done, since.elapsed()) {
            done += 1;
            for origin in order(done) {
                let begun = Instant::now();
                let outcome = tokio::time::timeout(self.patience, side(table, origin, done)).await;
                let took = begun.elapsed().as_secs_f64();
                match outcome {
                    Ok(Ok(())) => progress.say(&format!("{case}: round {done}, {origin} ({took:.0} s)")),
                    Ok(Err(error)) => {
                        progress.say(&format!("{case}: round {done}, {origin} failed: {error:#}"));
                        table.fail(case, origin, &format!("{error:#}"));
                    }
                    Err(_) => {
                        let why = format!("not done within {:?}", self.patience);
                        progress.say(&format!("{case}: round {done}, {origin} failed: {why}"));
                        table.fail(case, origin, &why);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_end_with_their_number_or_with_the_time() {
        let rounds = Rounds {
            count: 3,
            budget: Duration::from_secs(100),
            patience: Duration::from_secs(60),
        };
        for (done, elapsed, more) in [
            (0, 0, true),
            (1, 40, true),
            (1, 51, false),
            (2, 66, true),
            (2, 68, false),
            (3, 3, false),
        ] {
            assert_eq!(
                goes_on(rounds, done, Duration::from_secs(elapsed)),
                more,
                "{done} {elapsed}"
            );
        }
        assert_ne!(order(1), order(2));
    }

    #[tokio::test]
    async fn a_side_that_fails_does_not_stop_the_other() {
        let mut table = Table::default();
        let rounds = Rounds {
            count: 2,
            budget: Duration::from_secs(100),
            patience: Duration::from_millis(20),
        };
        rounds
            .run(
                &mut table,
                "case",
                Progress::quiet(),
                async |table, origin, round| {
                    match (origin, round) {
                        (Origin::Ours, 1) => anyhow::bail!("it broke"),
                        (Origin::Ours, _) => std::future::pending::<()>().await,
                        _ => table.add("case", "s", origin, 1.0),
                    }
                    Ok(())
                },
            )
            .await;
        assert_eq!(table.rows[0].upstream.len(), 2);
        let whys: Vec<&str> = table
            .failures
            .iter()
            .map(|failure| failure.why.as_str())
            .collect();
        assert_eq!(whys, ["it broke", "not done within 20ms"]);
    }
}
