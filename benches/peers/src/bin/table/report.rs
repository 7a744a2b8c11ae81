//! The tables as Markdown.

use std::{fmt::Write, time::Duration};

use tightrope_peers::{LIBRARIES, is_built};

use crate::{
    machine,
    rows::{Measure, Row},
};

/// Tables that grow row by row.
#[derive(Debug)]
pub(crate) struct Report {
    text: String,
    table: Option<Table>,
}

/// What stands above rows, which are measured alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Pick,
    Threads,
    Publish,
    Tail,
    Memory,
}

pub(crate) fn pick(instructions: u64, ns: f64, allocations: f64) -> String {
    let each = format!("{} · {} ns", thousands(instructions), short(ns));
    if allocations == 0.0 {
        each
    } else {
        format!("{each} · {} allocs", short(allocations))
    }
}

pub(crate) fn threads(one: f64, two: f64) -> String {
    format!("{:.2} ({} to {} ns)", two / one, short(one), short(two))
}

pub(crate) fn tail(values: &[f64]) -> String {
    format!(
        "{} (median {}, {} changes)",
        duration(values[1]),
        duration(values[0]),
        thousands(values[2] as u64)
    )
}

pub(crate) fn bytes(each: f64) -> String {
    thousands(each.round() as u64)
}

pub(crate) fn duration(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{} ns", short(ns)),
        ..1e6 => format!("{} µs", short(ns / 1e3)),
        _ => format!("{} ms", short(ns / 1e6)),
    }
}

/// Three digits, or all before the point; no zeros at the end.
fn short(value: f64) -> String {
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => return thousands(value.round() as u64),
    };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: u64) -> String {
    if value < 1_000 {
        value.to_string()
    } else {
        format!("{},{:03}", thousands(value / 1_000), value % 1_000)
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            text: String::new(),
            table: None,
        }
    }

    pub(crate) fn add(&mut self, row: &Row, cells: [Option<String>; 4]) {
        let table = Table::of(row.measure);
        if self.table != Some(table) {
            self.table = Some(table);
            let (head, says) = table.head();
            let columns =
                "| tightrope | tower | pingora | volo |\n| --- | --- | --- | --- | --- |\n";
            write!(self.text, "\n## {head}\n\n{says}\n\n| {columns}").unwrap();
        }
        write!(self.text, "| {} |", row.title()).unwrap();
        for (cell, library) in cells.iter().zip(LIBRARIES) {
            let cell = match cell {
                Some(cell) => cell,
                None if is_built(library) => "none",
                None => "not built",
            };
            write!(self.text, " {cell} |").unwrap();
        }
        self.text.push('\n');
    }

    /// All of it, after where and how it was measured.
    pub(crate) fn finish(self, load: &str, took: Duration) -> String {
        let peers = ["tower", "pingora-load-balancing", "volo"]
            .map(|name| format!("{name} {}", machine::version(name)));
        let mut text = "# A pick of tightrope beside its peers\n\n".to_owned();
        let lines = [
            "Written by `just peers`; how fair it is says `benches/peers/src/lib.rs`.".to_owned(),
            String::new(),
            format!(
                "- {}, on {}",
                machine::said("date", "+%F"),
                machine::model()
            ),
            format!(
                "- {} processors, shared with other programs: load {load} at first, {} at last, {} s long",
                machine::processors(),
                machine::load(),
                took.as_secs()
            ),
            format!(
                "- {}; {}",
                peers.join(", "),
                machine::said("rustc", "--version")
            ),
            format!("- {}", machine::said("valgrind", "--version")),
        ];
        for line in lines {
            writeln!(text, "{line}").unwrap();
        }
        text + &self.text
    }
}

// === impl Table ===

impl Table {
    const fn of(measure: Measure) -> Self {
        match measure {
            Measure::Pick { .. } => Self::Pick,
            Measure::Threads => Self::Threads,
            Measure::Publish(_) => Self::Publish,
            Measure::Tail(_) => Self::Tail,
            Measure::Memory => Self::Memory,
        }
    }

    /// The heading, and what its numbers are.
    const fn head(self) -> (&'static str, &'static str) {
        match self {
            Self::Pick => (
                "A pick",
                "Instructions, time, and allocations where there are any; of 100 endpoints unless a row says 10,000.\n\
                 The loop of about 15 instructions is included. In tower a pick is a whole call.",
            ),
            Self::Threads => (
                "Two threads",
                "How many times longer a pick lasts where two threads share the balancer: 1 is perfect, 2 no better\n\
                 than one thread. 100 endpoints.",
            ),
            Self::Publish => (
                "A change",
                "From a change of one of 10,000 endpoints until after a pick that sees it. Lists of all endpoints, which\n\
                 pingora and volo take, are made before.",
            ),
            Self::Tail => (
                "The tail",
                "99.99 % of picks from 10,000 endpoints do not exceed it while another thread publishes a change, waits\n\
                 a millisecond, and publishes the next, for two seconds. A look at the clock is in each.",
            ),
            Self::Memory => (
                "Memory",
                "Bytes an endpoint at 10,000 endpoints, as asked of the allocator, for all that a balancer needs. Services\n\
                 of tower have no address and no state here; the list of the discovery is included in volo only,\n\
                 which keeps one.",
            ),
        }
    }
}
