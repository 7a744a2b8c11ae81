//! Runs cases: picks to be counted, or picks to be timed.
//!
//! ```text
//! cost CASE ENDPOINTS PICKS                  makes that many picks, for callgrind
//! cost time ENDPOINTS CASE...                ns of a pick
//! cost threads ENDPOINTS CASE...             the same by one thread, and by each of two that share a balancer
//! cost publish weight|health ENDPOINTS CASE...  ns from a change until after a pick that sees it
//! cost tail weight|health ENDPOINTS CASE...  ns of a pick while another thread publishes every millisecond:
//!                                            the median, and what 99.99 % of picks do not exceed
//! ```
//!
//! Times are medians of many short rounds, in which cases take turns: whatever else the machine does
//! meets them alike. They come one case a line, after its name. A case that cannot do what is asked
//! has no line.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a benchmark measures real time, and may panic"
)]

use std::{
    env,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tightrope_peers::{Case, Picks, What, Writer, case};

/// How long a round of picks lasts.
const ROUND: Duration = Duration::from_millis(4);

/// How many rounds there are, for as long as they do not take longer than `PATIENCE`.
const ROUNDS: usize = 41;
const FEWEST: usize = 5;
const PATIENCE: Duration = Duration::from_secs(4);

/// How long picks are made while another thread publishes.
const TAIL: Duration = Duration::from_secs(2);

/// A case that takes part.
struct Entry {
    name: &'static str,
    picks: Box<dyn Picks>,
    /// How many picks make a round.
    round: u32,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["time", endpoints, cases @ ..] => time(entries(endpoints, cases)),
        ["threads", endpoints, cases @ ..] => threads(entries(endpoints, cases)),
        ["publish", what, endpoints, cases @ ..] => publish(of(what), endpoints, cases),
        ["tail", what, endpoints, cases @ ..] => tail(of(what), endpoints, cases),
        [name, endpoints, count] => made(name, endpoints).make(count.parse().unwrap()),
        _ => panic!("see the head of {}", file!()),
    }
}

fn of(what: &str) -> What {
    match what {
        "weight" => What::Weight,
        "health" => What::Health,
        _ => panic!("weight or health, not {what}"),
    }
}

fn found(name: &str) -> &'static Case {
    case(name).unwrap_or_else(|| panic!("no case has the name {name}"))
}

fn made(name: &str, endpoints: &str) -> Box<dyn Picks> {
    (found(name).make)(endpoints.parse().unwrap())
}

fn entries(endpoints: &str, cases: &[&str]) -> Vec<Entry> {
    let entry = |name: &&str| {
        let mut picks = made(name, endpoints);
        Entry {
            name: found(name).name,
            round: calibrate(&mut *picks),
            picks,
        }
    };
    cases.iter().map(entry).collect()
}

/// How many picks last for a round.
fn calibrate(picks: &mut dyn Picks) -> u32 {
    let mut count = 1;
    loop {
        let elapsed = timed(picks, count);
        if elapsed >= ROUND / 4 {
            let share = ROUND.as_secs_f64() / elapsed.as_secs_f64();
            return (f64::from(count) * share).ceil() as u32;
        }
        count *= 2;
    }
}

fn timed(picks: &mut dyn Picks, count: u32) -> Duration {
    let start = Instant::now();
    picks.make(count);
    start.elapsed()
}

/// Calls `round` for each entry in turn, again and again.
fn rounds<E>(entries: &mut [E], mut round: impl FnMut(&mut E)) {
    let start = Instant::now();
    for n in 0..ROUNDS {
        if n >= FEWEST && start.elapsed() > PATIENCE * entries.len() as u32 {
            break;
        }
        entries.iter_mut().for_each(&mut round);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn time(entries: Vec<Entry>) {
    let mut timed_entries: Vec<_> = entries
        .into_iter()
        .map(|entry| (entry, Vec::new()))
        .collect();
    rounds(&mut timed_entries, |(entry, ns)| {
        let elapsed = timed(&mut *entry.picks, entry.round);
        ns.push(elapsed.as_nanos() as f64 / f64::from(entry.round));
    });
    for (entry, ns) in timed_entries {
        println!("{} {:.2}", entry.name, median(ns));
    }
}

fn threads(entries: Vec<Entry>) {
    let shared = entries.into_iter().filter_map(|mut entry| {
        let other = entry.picks.share()?;
        Some((entry, other, Vec::new(), Vec::new()))
    });
    let mut shared: Vec<_> = shared.collect();
    rounds(&mut shared, |(entry, other, one, two)| {
        let elapsed = timed(&mut *entry.picks, entry.round);
        one.push(elapsed.as_nanos() as f64 / f64::from(entry.round));
        let elapsed = together(&mut *entry.picks, &mut **other, entry.round);
        two.push(elapsed.as_nanos() as f64 / f64::from(entry.round));
    });
    for (entry, _, one, two) in shared {
        println!("{} {:.2} {:.2}", entry.name, median(one), median(two));
    }
}

/// How long it lasts until both have made this many picks.
fn together(one: &mut dyn Picks, two: &mut dyn Picks, count: u32) -> Duration {
    let barrier = Barrier::new(2);
    let run = |picks: &mut dyn Picks| {
        barrier.wait();
        let start = Instant::now();
        picks.make(count);
        (start, Instant::now())
    };
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(|| run(two));
        (run(one), other.join().unwrap())
    });
    one.1.max(two.1) - one.0.min(two.0)
}

/// A balancer and who changes it.
struct Changing {
    name: &'static str,
    picks: Box<dyn Picks>,
    writer: Box<dyn Writer>,
    changes: u32,
}

fn changing(what: What, endpoints: &str, cases: &[&str]) -> Vec<Changing> {
    let changing = |name: &&str| {
        let mut picks = made(name, endpoints);
        let mut writer = picks.writer(what)?;
        writer.prepare(1);
        writer.publish();
        picks.make(1);
        Some(Changing {
            name: found(name).name,
            picks,
            writer,
            changes: 1,
        })
    };
    cases.iter().filter_map(changing).collect()
}

fn publish(what: What, endpoints: &str, cases: &[&str]) {
    let entries = changing(what, endpoints, cases).into_iter();
    let mut entries: Vec<_> = entries.map(|entry| (entry, Vec::new())).collect();
    rounds(&mut entries, |(entry, ns)| {
        entry.changes += 1;
        entry.writer.prepare(entry.changes);
        let start = Instant::now();
        entry.writer.publish();
        entry.picks.make(1);
        ns.push(start.elapsed().as_nanos() as f64);
    });
    for (entry, ns) in entries {
        println!("{} {:.0}", entry.name, median(ns));
    }
}

fn tail(what: What, endpoints: &str, cases: &[&str]) {
    for mut entry in changing(what, endpoints, cases) {
        let over = AtomicBool::new(false);
        let mut ns: Vec<u32> = Vec::with_capacity(1 << 25);
        let published = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut published = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    published += 1;
                    entry.writer.prepare(entry.changes + published);
                    thread::sleep(Duration::from_millis(1));
                    entry.writer.publish();
                }
                published
            });
            let start = Instant::now();
            let mut before = start;
            while before - start < TAIL && ns.len() < ns.capacity() {
                entry.picks.make(1);
                let after = Instant::now();
                ns.push((after - before).as_nanos() as u32);
                before = after;
            }
            over.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        let at =
            |ns: &[u32], share: f64| ns[((ns.len() as f64 * share) as usize).min(ns.len() - 1)];
        ns.sort_unstable();
        let (middle, late) = (at(&ns, 0.5), at(&ns, 0.9999));
        println!("{} {middle} {late} {published}", entry.name);
    }
}
