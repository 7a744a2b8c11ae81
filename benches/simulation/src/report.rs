//! What came of it.

use std::io::{self, Write};

use crate::{strategies::Named, workload::Workload};

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) strategy: &'static Named,
    pub(crate) workload: Workload,
}

/// What was measured in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// Requests that failed or were given up.
    pub(crate) errors: usize,
    /// The requests at the busiest endpoint over those at an average one.
    pub(crate) unevenness: f64,
    /// The requests that went to the endpoint that fails.
    pub(crate) to_failing: usize,
    /// The requests of its first second that went to the endpoint that joined, over its share.
    pub(crate) to_joining: f64,
}

/// The figures of `latencies`, given in milliseconds.
pub(crate) fn percentiles(latencies: &mut [f32]) -> [f64; 3] {
    latencies.sort_unstable_by(f32::total_cmp);
    [0.5, 0.99, 0.999].map(|share| {
        let rank = (latencies.len() as f64 * share) as usize;
        latencies
            .get(rank)
            .map_or(0.0, |&latency| f64::from(latency))
    })
}

pub(crate) fn print(results: &[(Case, Figures)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<24} {:>9} {:>5} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "strategy",
        "balancers",
        "load",
        "p50 ms",
        "p99 ms",
        "p99.9",
        "errors %",
        "max/mean",
        "failing %",
        "joining"
    )?;
    for (case, figures) in results {
        let Workload {
            balancers,
            load_percent,
            failing,
            joining,
            ..
        } = case.workload;
        let percent = |part: usize| 100.0 * part as f64 / figures.requests as f64;
        write!(
            out,
            "{:<24} {balancers:>9} {load_percent:>4}% {:>8.1} {:>8.1} {:>8.1} {:>9.3} {:>9.2}",
            case.strategy.name,
            figures.p50_ms,
            figures.p99_ms,
            figures.p999_ms,
            percent(figures.errors),
            figures.unevenness,
        )?;
        if failing {
            write!(out, " {:>9.4}", percent(figures.to_failing))?;
        } else if joining {
            write!(out, " {:>9} {:>9.2}", "", figures.to_joining)?;
        }
        writeln!(out)?;
    }
    Ok(())
}
