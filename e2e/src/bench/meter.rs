//! What a process takes while something is done.

use anyhow::{Context, Result};
use procfs::process::Process;

use super::table::{Better, Table, Target};
use crate::plan::choice::Origin;

/// Measures one process from now on.
#[derive(Debug)]
pub struct Meter {
    process: Process,
    since: f64,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds of processor time, to the hundredth.
    pub processor: f64,
    /// Most memory that was resident at once, MiB.
    pub peak: f64,
    /// Memory that is resident now, MiB.
    pub resident: f64,
}

impl Meter {
    /// Starts to measure `pid`, and forgets its memory's earlier peak.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn start(pid: u32) -> Result<Self> {
        let process = i32::try_from(pid)
            .map_err(anyhow::Error::from)
            .and_then(|pid| Ok(Process::new(pid)?))
            .with_context(|| format!("looking at process {pid}"))?;
        // Where the kernel refuses, the peak is that since the process started.
        let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let since = processor(&process)?;
        Ok(Self { process, since })
    }

    /// What it took since the start.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn read(&self) -> Result<Cost> {
        let status = self
            .process
            .status()
            .with_context(|| format!("process {} is gone", self.process.pid))?;
        #[allow(clippy::cast_precision_loss)] // To a tenth of a mebibyte.
        let mebibytes = |kibibytes: Option<u64>| kibibytes.unwrap_or_default() as f64 / 1024.0;
        Ok(Cost {
            processor: processor(&self.process)? - self.since,
            peak: mebibytes(status.vmhwm),
            resident: mebibytes(status.vmrss),
        })
    }
}

/// Of all threads that it ever had.
fn processor(process: &Process) -> Result<f64> {
    let stat = process
        .stat()
        .with_context(|| format!("process {} is gone", process.pid))?;
    #[allow(clippy::cast_precision_loss)]
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second().max(1) as f64)
}

/// The program under test and the API server, measured together.
#[derive(Debug)]
pub struct Meters {
    program: Meter,
    apiserver: Meter,
}

/// What the program under test may take, ours divided by upstream's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub processor: Option<f64>,
    pub peak: Option<f64>,
}

const PROCESSOR: &str = "its CPU, s";
const PEAK: &str = "its peak RSS, MiB";

impl Bounds {
    /// Puts the rows of [`Meters::tell`] into `table`, so that they are there even if a side fails.
    pub fn declare(self, table: &mut Table, case: &str) {
        let targets = |bound: Option<f64>| bound.map(Target::Ratio).into_iter().collect::<Vec<_>>();
        table.declare(case, PROCESSOR, Better::Lower, &targets(self.processor));
        table.declare(case, PEAK, Better::Lower, &targets(self.peak));
    }
}

impl Meters {
    pub fn start(program: u32, apiserver: u32) -> Result<Self> {
        Ok(Self {
            program: Meter::start(program)?,
            apiserver: Meter::start(apiserver)?,
        })
    }

    /// What the program took so far.
    pub fn program(&self) -> Result<Cost> {
        self.program.read()
    }

    /// Writes down what both took.
    pub fn tell(&self, table: &mut Table, case: &str, origin: Origin) -> Result<()> {
        let (program, apiserver) = (self.program.read()?, self.apiserver.read()?);
        table.add(case, PROCESSOR, origin, program.processor);
        table.add(case, PEAK, origin, program.peak);
        table.add(case, "API server's CPU, s", origin, apiserver.processor);
        table.add(case, "API server's peak RSS, MiB", origin, apiserver.peak);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_s_work_and_memory_are_seen() {
        let meter = Meter::start(std::process::id()).unwrap();
        let since = std::time::Instant::now();
        let mut cost = meter.read().unwrap();
        // However little of a processor there is for it.
        while cost.processor <= 0.0 && since.elapsed().as_secs() < 30 {
            std::hint::black_box(vec![1_u8; 1 << 16]);
            cost = meter.read().unwrap();
        }
        assert!(
            cost.processor > 0.0 && cost.peak >= 1.0 && cost.resident >= 1.0,
            "{cost:?}"
        );
    }
}
