//! Recordings of what real servers chose, and how they are replayed.
//!
//! They live beside the repository; set `TIGHTROPE_VECTORS` to their folder if they are elsewhere.
//! Backup servers are a priority of their own. Left out are those in which servers fail, and round robin
//! with `max_conns`, where nginx's order depends on who had been full: the tests of the facade replay these,
//! with a detection of outliers.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::{
    collections::HashMap,
    env, fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tightrope_balance::{Balance, Context, Priorities, Strategy};
use tightrope_upstream::{Change, EndpointId, EndpointSpec, Pick, Upstream, Weight};

/// One recording.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) config: Config,
    algorithm: String,
    kind: String,
    inputs: Value,
    expect: Value,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    servers: Vec<Server>,
    #[serde(default)]
    pub(crate) params: Value,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    #[serde(default)]
    id: Option<u32>,
    weight: u32,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    backup: bool,
    #[serde(default)]
    max_conns: Option<u32>,
}

/// A step of a script.
#[derive(Deserialize)]
struct Step {
    op: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    key: String,
}

/// Replays every recording of `algorithm`, of which there are `count`.
///
/// `strategy` is made for each; `context` tells of a key what the strategy needs to know.
pub(crate) fn replay<T: Strategy>(
    algorithm: &str,
    count: usize,
    strategy: impl Fn(&Value) -> T + Copy + Send + 'static,
    context: impl for<'k> Fn(&'k str) -> Context<'k>,
) {
    let Some(folder) = folder() else { return };
    let cases = cases(&folder, algorithm);
    assert_eq!(cases.len(), count, "recordings of {algorithm}");
    for case in cases {
        let params = case.config.params.clone();
        let strategy = Priorities::new(move || strategy(&params)).without_spill();
        let (upstream, balance) = case.balance(strategy);
        case.replay(&upstream, balance, &context);
    }
}

fn folder() -> Option<PathBuf> {
    let folder = env::var_os("TIGHTROPE_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no recordings in {}", folder.display());
    assert!(
        env::var_os("TIGHTROPE_REQUIRE_ALL").is_none(),
        "the recordings are required here"
    );
    None
}

fn cases(folder: &Path, algorithm: &str) -> Vec<Case> {
    let mut cases = cases_of(folder, algorithm);
    cases.retain(|case| !case.needs_health());
    cases
}

fn cases_of(folder: &Path, algorithm: &str) -> Vec<Case> {
    let (server, _) = algorithm.split_once('.').unwrap();
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(server) && name.ends_with(".json")
        })
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .filter(|case: &Case| case.algorithm == algorithm)
        .collect();
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    cases
}

fn from<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

impl Case {
    fn needs_health(&self) -> bool {
        let mut servers = self.config.servers.iter();
        let is_limited = servers.any(|server| server.max_conns.is_some());
        is_limited && self.algorithm == "nginx.round_robin"
            || self.kind == "script"
                && from::<Vec<Step>>(&self.inputs)
                    .iter()
                    .any(|step| !["req", "end"].contains(&&*step.op))
    }

    /// nginx uses all backups together, HAProxy the first that is up.
    fn priority(&self, number: u8, server: &Server) -> u8 {
        match (server.backup, self.algorithm.starts_with("haproxy")) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => number,
        }
    }

    /// One endpoint for each server, known by the name of that.
    fn balance(&self, strategy: impl Strategy) -> (Upstream, Balance<()>) {
        let upstream = Upstream::new(&self.id);
        let mut change = Change::new();
        for (number, server) in (1..).zip(&self.config.servers) {
            let address = format!("10.0.0.1:{number}").parse().unwrap();
            let id = EndpointId::new(&server.name).unwrap();
            let labels = server.id.map(|id| ("haproxy-id", id.to_string()));
            let mut spec = EndpointSpec::new(address)
                .with_id(id.clone())
                .with_weight(Weight::new(server.weight).unwrap())
                .with_priority(self.priority(number, server))
                .with_metadata(labels.into_iter().collect());
            if let Some(most) = server.max_conns {
                spec = spec.with_max_in_flight(NonZeroU32::new(most).unwrap());
            }
            change = change.add(spec);
            if server.down {
                change = change.drain(id, "down");
            }
        }
        upstream.apply(change).unwrap();
        let balance = Balance::new(&upstream, strategy, ()).with_seed(1);
        (upstream, balance)
    }

    fn replay(
        &self,
        upstream: &Upstream,
        mut balance: Balance<()>,
        context: &impl for<'k> Fn(&'k str) -> Context<'k>,
    ) {
        let mut pick = |context: &Context<'_>| balance.pick(context).ok();
        match self.kind.as_str() {
            "seq" => {
                let count = 0..self.inputs["count"].as_u64().unwrap();
                let picks = count.map(|_| self.place(pick(&Context::new()).as_ref()));
                assert_eq!(
                    picks.collect::<Vec<_>>(),
                    from::<Vec<i64>>(&self.expect),
                    "{}",
                    self.id
                );
            }
            "key" => {
                let keys: Vec<String> = from(&self.inputs);
                let expected: Vec<i64> = from(&self.expect);
                assert_eq!(keys.len(), expected.len());
                for (key, expected) in keys.iter().zip(expected) {
                    let place = self.place(pick(&context(key)).as_ref());
                    assert_eq!(place, expected, "{}: {key}", self.id);
                }
            }
            "script" => {
                let steps: Vec<Step> = from(&self.inputs);
                let expected: Vec<Option<Vec<i64>>> = from(&self.expect);
                let ends = steps.iter().any(|step| step.op == "end");
                let mut held = HashMap::new();
                for (number, (step, expected)) in steps.iter().zip(expected).enumerate() {
                    let Some(expected) = expected else {
                        assert!(held.remove(&step.id).is_some());
                        continue;
                    };
                    let picked = pick(&context(&step.key));
                    assert_eq!(
                        [self.place(picked.as_ref())],
                        *expected,
                        "{}, step {number}",
                        self.id
                    );
                    if ends {
                        held.insert(step.id.clone(), picked);
                    }
                }
            }
            "dist" => {
                let counts: Vec<usize> = from(&self.inputs["held"]);
                let members = upstream.snapshot();
                let members = members.members().iter();
                let _held: Vec<Pick> = members
                    .zip(counts)
                    .flat_map(|(member, count)| (0..count).map(|_| member.pick().unwrap()))
                    .collect();
                let mut got = vec![0_u32; self.config.servers.len()];
                for _ in 0..self.inputs["picks"].as_u64().unwrap() {
                    let place = self.place(pick(&Context::new()).as_ref());
                    got[usize::try_from(place).unwrap()] += 1;
                }
                self.assert_like(&got, &from::<Vec<u32>>(&self.expect));
            }
            kind => unreachable!("{kind}"),
        }
    }

    /// The 0-based place of the server that was picked; -1 for nobody.
    fn place(&self, pick: Option<&Pick>) -> i64 {
        pick.map_or(-1, |pick| {
            let mut names = self.config.servers.iter().map(|server| &server.name);
            let place = names.position(|name| name == pick.endpoint().id().as_str());
            i64::try_from(place.unwrap()).unwrap()
        })
    }

    /// Two samples of the same distribution are further apart once in several thousand times.
    fn assert_like(&self, got: &[u32], expected: &[u32]) {
        let distance: f64 = got
            .iter()
            .zip(expected)
            .filter(|&(got, expected)| got + expected > 0)
            .map(|(&got, &expected)| {
                let (got, expected) = (f64::from(got), f64::from(expected));
                (got - expected).powi(2) / (got + expected)
            })
            .sum();
        assert!(
            distance < 20.0,
            "{}: {got:?}, recorded {expected:?}",
            self.id
        );
    }
}
