//! What is measured.

use tightrope_peers::{Case, LIBRARIES, What, case};

/// A row of a table: a case of each library that has one.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// The cases are `subject/library`.
    pub(crate) subject: &'static str,
    pub(crate) endpoints: u32,
    pub(crate) measure: Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// A pick, counted over this many.
    Pick { counted: u32 },
    /// Two threads that share a balancer.
    Threads,
    /// A change.
    Publish(What),
    /// The slowest of picks while another thread publishes.
    Tail(What),
    /// What is allocated.
    Memory,
}

const PICK: Measure = Measure::Pick { counted: 20_000 };
const SLOW: Measure = Measure::Pick { counted: 1_000 };
const WEIGHT: Measure = Measure::Publish(What::Weight);
const HEALTH: Measure = Measure::Publish(What::Health);

const FEW: u32 = 100;
const MANY: u32 = 10_000;

const fn row(what: &'static str, subject: &'static str, endpoints: u32, measure: Measure) -> Row {
    Row {
        what,
        subject,
        endpoints,
        measure,
    }
}

#[rustfmt::skip] // a row a line
pub(crate) const ROWS: &[Row] = &[
    row("whole call, two draws on in-flight", "call", FEW, PICK),
    row("the same, shared by tasks (tower: `Buffer`)", "call_shared", FEW, PICK),
    row("whole call, at random", "call_random", FEW, PICK),
    row("round robin", "round_robin", FEW, PICK),
    row("weighted round robin", "weighted_round_robin", FEW, PICK),
    row("weighted round robin", "weighted_round_robin", MANY, PICK),
    row("weighted random", "weighted_random", FEW, PICK),
    row("weighted random", "weighted_random", MANY, PICK),
    row("two draws on in-flight", "two_draws", FEW, PICK),
    row("two draws on in-flight", "two_draws", MANY, PICK),
    row("peak EWMA, two draws", "peak_ewma_2", FEW, PICK),
    row("peak EWMA, best of five", "peak_ewma_5", FEW, PICK),
    row("least request, full scan", "full_scan", FEW, PICK),
    row("least request, full scan", "full_scan", MANY, PICK),
    row("the same where nobody is idle", "full_scan_busy", FEW, PICK),
    row("the same where nobody is idle", "full_scan_busy", MANY, SLOW),
    row("Maglev, keyed SipHash", "maglev", FEW, PICK),
    row("Maglev, keyed SipHash", "maglev", MANY, PICK),
    row("ring hash", "ring_hash", FEW, PICK),
    row("ring hash", "ring_hash", MANY, PICK),
    row("picker alone: round robin", "picker/round_robin", FEW, PICK),
    row("picker alone: weighted random", "picker/weighted_random", FEW, PICK),
    row("picker alone: two draws", "picker/two_draws", FEW, PICK),
    row("picker alone: peak EWMA, two draws", "picker/peak_ewma_2", FEW, PICK),
    row("picker alone: Maglev", "picker/maglev", FEW, PICK),
    row("picker alone: ring hash", "picker/ring_hash", FEW, PICK),
    row("round robin", "round_robin", FEW, Measure::Threads),
    row("weighted random", "weighted_random", FEW, Measure::Threads),
    row("two draws on in-flight (tower: a mutex)", "two_draws", FEW, Measure::Threads),
    row("peak EWMA, two draws (tower: a mutex)", "peak_ewma_2", FEW, Measure::Threads),
    row("Maglev", "maglev", FEW, Measure::Threads),
    row("ring hash", "ring_hash", FEW, Measure::Threads),
    row("weight, round robin", "round_robin", MANY, WEIGHT),
    row("weight, random", "weighted_random", MANY, WEIGHT),
    row("weight, two draws (tower: service)", "two_draws", MANY, WEIGHT),
    row("weight, Maglev", "maglev", MANY, WEIGHT),
    row("weight, ring", "ring_hash", MANY, WEIGHT),
    row("health, round robin", "round_robin", MANY, HEALTH),
    row("health, random", "weighted_random", MANY, HEALTH),
    row("health, two draws", "two_draws", MANY, HEALTH),
    row("health, Maglev", "maglev", MANY, HEALTH),
    row("health, ring", "ring_hash", MANY, HEALTH),
    row("weights change, round robin", "round_robin", MANY, Measure::Tail(What::Weight)),
    row("weights change, random", "weighted_random", MANY, Measure::Tail(What::Weight)),
    row("health changes, round robin", "round_robin", MANY, Measure::Tail(What::Health)),
    row("health changes, two draws", "two_draws", MANY, Measure::Tail(What::Health)),
    row("health changes, Maglev", "maglev", MANY, Measure::Tail(What::Health)),
    row("round robin", "round_robin", MANY, Measure::Memory),
    row("weighted random", "weighted_random", MANY, Measure::Memory),
    row("two draws", "two_draws", MANY, Measure::Memory),
    row("peak EWMA, two draws", "peak_ewma_2", MANY, Measure::Memory),
    row("Maglev", "maglev", MANY, Measure::Memory),
    row("ring hash", "ring_hash", MANY, Measure::Memory),
];

/// How `cost` is told.
pub(crate) const fn word(what: What) -> &'static str {
    match what {
        What::Weight => "weight",
        What::Health => "health",
    }
}

impl Row {
    /// The case of each library.
    pub(crate) fn cases(&self) -> [Option<&'static Case>; 4] {
        LIBRARIES.map(|library| case(&format!("{}/{library}", self.subject)))
    }

    /// What the row is called: with the number of endpoints where the head of its table does not
    /// say it.
    pub(crate) fn title(&self) -> String {
        match (self.measure, self.endpoints) {
            (Measure::Pick { .. }, MANY) => format!("{}, 10,000", self.what),
            _ => self.what.to_owned(),
        }
    }
}
