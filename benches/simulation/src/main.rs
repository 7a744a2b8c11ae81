//! What each strategy does to latency, simulated with the real pickers.
//!
//! ```text
//! guide=crates/tightrope/src/guide
//! cargo run --release -p simulation -- --svg $guide/strategies.svg --markdown $guide/strategies.md
//! ```
//!
//! A fleet of servers, some of them slow, all disturbed by others on their machines, gets requests
//! through balancers that do not see each other: see [`Workload`]. Events are simulated, picks are
//! not: the balancers are the library's own and read a clock that the simulation moves. The same
//! seed prints the same figures.

mod chart;
mod clock;
mod fleet;
mod oracle;
mod probing;
mod report;
mod run;
mod strategies;
mod workload;

use std::{
    fs, io,
    panic::resume_unwind,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use clap::Parser;

use crate::{
    report::{Case, Figures},
    strategies::STRATEGIES,
    workload::Workload,
};

/// Simulates every strategy, prints what came of it, and draws it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds that are measured, after 5 s that are not.
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Where chance starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only strategies whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where to put the table of the guide.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Where to put the picture of the guide.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let cases = cases(&arguments);
    let figures = simulate(&cases);
    let results: Vec<(Case, Figures)> = cases.into_iter().zip(figures).collect();
    report::print(&results)?;
    if let Some(path) = arguments.markdown {
        fs::write(path, report::markdown(&results))?;
    }
    if let Some(path) = arguments.svg {
        fs::write(path, chart::draw(&results))?;
    }
    Ok(())
}

fn cases(arguments: &Arguments) -> Vec<Case> {
    let mut cases = Vec::new();
    let chosen = STRATEGIES
        .iter()
        .filter(|strategy| strategy.name.contains(&arguments.only));
    for strategy in chosen {
        let plain = |balancers, load_percent| Workload {
            balancers,
            load_percent,
            seconds: arguments.seconds,
            seed: arguments.seed,
            failing: false,
            joining: 0,
        };
        let mut add = |workload| cases.push(Case { strategy, workload });
        add(plain(20, 70));
        for balancers in [1, 20, 100] {
            add(plain(balancers, 90));
        }
        if strategy.is_load_aware {
            add(Workload {
                failing: true,
                // As long as a figure of so few requests needs.
                seconds: 60,
                ..plain(100, 90)
            });
            for balancers in [20, 100] {
                add(Workload {
                    joining: 10,
                    seconds: 10,
                    ..plain(balancers, 90)
                });
            }
        }
    }
    cases
}

/// Runs all cases, as many at once as there are cores.
fn simulate(cases: &[Case]) -> Vec<Figures> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<(usize, Figures)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(case) = cases.get(index) else {
                            return done;
                        };
                        done.push((index, run::run(case)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, figures)| figures).collect()
}
