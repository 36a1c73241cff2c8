//! Waiting for something to work, while looking after the programs that it depends on.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::logs;
use crate::supervisor::client::Supervisor;
use crate::supervisor::protocol::ProgramStatus;

/// A program that was started this often without working is taken to be broken.
const TOO_OFTEN: u32 = 6;
/// Lines that are quoted of the log of a program that is broken, and of one that may have to do with a delay.
const LINES: usize = 12;
const FEW_LINES: usize = 3;

/// What is waited for, and whose fault it is if it does not come.
pub struct Wait<'a> {
    /// `both nodes are Ready`.
    pub what: &'a str,
    pub patience: Duration,
    /// Between two probes.
    pub pause: Duration,
    /// Instances whose end or log explains a failure.
    pub programs: &'a [String],
}

impl Wait<'_> {
    /// Asks `probe` until it says yes. It answers `Err` with what is still missing.
    ///
    /// # Errors
    /// If a program keeps exiting or time runs out: names the program, its log and its last lines.
    pub async fn until<F: Future<Output = Result<(), String>>>(
        &self,
        supervisor: &mut Supervisor,
        mut probe: impl FnMut() -> F,
    ) -> Result<()> {
        let until = Instant::now() + self.patience;
        loop {
            let Err(missing) = probe().await else {
                return Ok(());
            };
            let programs = supervisor.programs()?;
            let mine = |status: &&ProgramStatus| self.programs.contains(&status.instance);
            if let Some(broken) = programs
                .iter()
                .filter(mine)
                .find(|status| status.starts >= TOO_OFTEN)
            {
                bail!("{} keeps exiting{}", broken.instance, explain(broken, LINES));
            }
            if Instant::now() > until {
                let culprits: String = programs
                    .iter()
                    .filter(mine)
                    .map(|status| format!("\n{}{}", status.instance, explain(status, FEW_LINES)))
                    .collect();
                bail!(
                    "{}: not within {:?}: {missing}{culprits}",
                    self.what,
                    self.patience
                );
            }
            tokio::time::sleep(self.pause).await;
        }
    }
}

/// The end of a program, its log and the log's last lines.
fn explain(status: &ProgramStatus, lines: usize) -> String {
    let exit = status
        .last_exit
        .as_ref()
        .map(|exit| format!(" (last: {exit})"))
        .unwrap_or_default();
    format!(
        "{exit}; the last lines of {}:\n{}",
        status.log.display(),
        logs::tail(&status.log, lines)
    )
}
