//! Runs `cost`, plain and under callgrind.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tightrope_peers::Case;

use crate::rows::{Measure, Row};

/// The other program.
#[derive(Debug)]
pub(crate) struct Cost(PathBuf);

/// Instructions of a pick, by case and number of endpoints.
#[derive(Debug)]
pub(crate) struct Counted(HashMap<(&'static str, u32), u64>);

/// A case to be counted: its name, endpoints, and picks.
type Job = (&'static str, u32, u32);

// === impl Cost ===

impl Cost {
    pub(crate) fn beside_us() -> Self {
        let path = env::current_exe().unwrap().with_file_name("cost");
        assert!(path.exists(), "{} is not built", path.display());
        Self(path)
    }

    /// The lines that it prints for `cases`: a name, and numbers.
    pub(crate) fn run(&self, mode: &[&str], cases: &[&str]) -> Vec<(String, Vec<f64>)> {
        let output = Command::new(&self.0)
            .args(mode)
            .args(cases)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode:?}: {error}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            (name, words.map(|word| word.parse().unwrap()).collect())
        };
        text.lines().map(line).collect()
    }

    /// Counts the picks of all rows, as many at once as there are processors: nobody is timed.
    pub(crate) fn count(&self, rows: &[Row]) -> Counted {
        let jobs: Vec<Job> = rows.iter().flat_map(jobs).collect();
        let (next, counted) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
        let work = || {
            while let Some(&job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (name, endpoints, picks) = job;
                let few = self.collected(job, picks / 10);
                let many = self.collected(job, picks / 10 + picks);
                let each = many.saturating_sub(few).div_ceil(u64::from(picks));
                eprintln!("{name} {endpoints}: {each} instructions");
                counted.lock().unwrap().insert((name, endpoints), each);
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        Counted(counted.into_inner().unwrap())
    }

    /// The instructions of a whole run.
    fn collected(&self, (name, endpoints, _): Job, picks: u32) -> u64 {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&self.0)
            .args([name, &endpoints.to_string(), &picks.to_string()])
            .output()
            .expect("valgrind is installed");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {text}");
        let (_, collected) = text.split_once("Collected : ").unwrap();
        collected.lines().next().unwrap().trim().parse().unwrap()
    }
}

fn jobs(row: &Row) -> impl Iterator<Item = Job> {
    let picks = match row.measure {
        Measure::Pick { counted } => Some(counted),
        _ => None,
    };
    let cases = row.cases().into_iter().flatten();
    cases.filter_map(move |case| Some((case.name, row.endpoints, picks?)))
}

// === impl Counted ===

impl Counted {
    pub(crate) fn instructions(&self, case: &Case, endpoints: u32) -> u64 {
        self.0[&(case.name, endpoints)]
    }
}
