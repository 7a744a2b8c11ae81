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
    /// The requests to endpoints that joined, each in its first second, over those to a usual one.
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
        } else if joining > 0 {
            write!(out, " {:>9} {:>9.2}", "", figures.to_joining)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The figures at 90 % load as a table in Markdown, for the guide: p99 in milliseconds by number of
/// balancers, then with 100 of them the share that a failing endpoint draws and what one that joins
/// gets.
pub(crate) fn markdown(results: &[(Case, Figures)]) -> String {
    let mut table = String::from(
        "| strategy | 1 balancer | 20 | 100 | requests to one that fails | to one that joins |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut names: Vec<&str> = results.iter().map(|(case, _)| case.strategy.name).collect();
    names.dedup();
    for name in names {
        let find = |balancers, failing, joining| {
            let found = results.iter().find(|(case, _)| {
                let workload = case.workload;
                case.strategy.name == name
                    && workload.load_percent == 90
                    && workload.balancers == balancers
                    && workload.failing == failing
                    && (workload.joining > 0) == joining
            });
            found.map(|(_, figures)| figures)
        };
        table += &format!("| {name}");
        for balancers in [1, 20, 100] {
            let p99 = find(balancers, false, false).map(|figures| figures.p99_ms);
            table += &p99.map_or(" |".to_owned(), |p99| format!(" | {p99:.0}"));
        }
        let failing = find(100, true, false);
        table += &failing.map_or(" |".to_owned(), |figures| {
            let share = 100.0 * figures.to_failing as f64 / figures.requests as f64;
            format!(" | {share:.3} %")
        });
        let joining = find(100, false, true);
        table += &joining.map_or(" |".to_owned(), |figures| {
            format!(" | {:.2} of its share", figures.to_joining)
        });
        table += " |\n";
    }
    table
}
