//! Measures all cases by `cost`, which must have been built beside it, and prints tables.
//!
//! ```text
//! table [--markdown FILE]
//! ```
//!
//! Instructions are counted by callgrind in two runs with different numbers of picks, whose
//! difference is divided by the difference of picks. So making the balancer is not in it, but the
//! loop around a pick is: about 15 instructions. System calls count nothing; under callgrind
//! looks at the clock are system calls, so peak EWMA costs more than its instructions say.
//!
//! This program counts allocations, which makes them dearer; so `cost` is another one, and does not.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a benchmark tells real time, and may panic"
)]

use std::{env, fs, time::Instant};

mod heap;
mod machine;
mod report;
mod rows;
mod run;

use self::{
    report::Report,
    rows::{Measure, ROWS, Row},
    run::{Cost, Counted},
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let file = match arguments.as_slice() {
        [] => None,
        [option, file] if option == "--markdown" => Some(file),
        _ => panic!("table [--markdown FILE]"),
    };
    let start = Instant::now();
    let load = machine::load();
    let cost = Cost::beside_us();
    let counted = cost.count(ROWS);
    let mut report = Report::new();
    for row in ROWS {
        eprintln!("{:>4} s  {}", start.elapsed().as_secs(), row.title());
        report.add(row, cells(row, &cost, &counted));
    }
    let text = report.finish(&load, start.elapsed());
    print!("{text}");
    if let Some(file) = file {
        fs::write(file, text).unwrap();
    }
}

/// What each library's cell says.
fn cells(row: &Row, cost: &Cost, counted: &Counted) -> [Option<String>; 4] {
    let cases = row.cases();
    let present: Vec<&str> = cases.iter().flatten().map(|case| case.name).collect();
    let size = row.endpoints.to_string();
    let measured = match row.measure {
        Measure::Pick { .. } => cost.run(&["time", &size], &present),
        Measure::Threads => cost.run(&["threads", &size], &present),
        Measure::Publish(what) => cost.run(&["publish", rows::word(what), &size], &present),
        Measure::Tail(what) => cost.run(&["tail", rows::word(what), &size], &present),
        Measure::Memory => Vec::new(),
    };
    cases.map(|case| {
        let case = case?;
        if matches!(row.measure, Measure::Memory) {
            return Some(report::bytes(heap::bytes(case, row.endpoints)));
        }
        let (_, values) = measured.iter().find(|(name, _)| name == case.name)?;
        Some(match row.measure {
            Measure::Pick { .. } => report::pick(
                counted.instructions(case, row.endpoints),
                values[0],
                heap::allocations(case, row.endpoints),
            ),
            Measure::Threads => report::threads(values[0], values[1]),
            Measure::Publish(_) => report::duration(values[0]),
            Measure::Tail(_) => report::tail(values),
            Measure::Memory => unreachable!("it was answered above"),
        })
    })
}
