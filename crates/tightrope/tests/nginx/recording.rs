//! Recordings of what nginx chose.

use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tightrope::{
    balance::{Context, RoundRobin, Strategy, nginx},
    upstream::Attempt,
};

/// One recording of a script.
#[derive(Deserialize)]
pub(crate) struct Recording {
    pub(crate) id: String,
    pub(crate) config: Config,
    pub(crate) algorithm: Algorithm,
    inputs: Value,
    expect: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "nginx.ip_hash")]
    IpHash,
    #[serde(rename = "nginx.hash")]
    Hash,
    #[serde(rename = "nginx.hash_consistent")]
    HashConsistent,
    #[serde(rename = "nginx.least_conn")]
    LeastConn,
    #[serde(rename = "nginx.round_robin")]
    RoundRobin,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) servers: Vec<Server>,
}

#[derive(Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) weight: u32,
    #[serde(default)]
    pub(crate) backup: bool,
    pub(crate) max_conns: Option<u32>,
    #[serde(default = "one")]
    pub(crate) max_fails: u32,
    #[serde(default = "ten")]
    pub(crate) fail_timeout: u64,
}

/// What happens, and what nginx did.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These refuse connections from now on.
    Refuse(Vec<usize>),
    /// It is this second now.
    Time(u64),
    Request(Request),
    /// The request of this id ends well.
    End(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    key: Key,
    /// Where nginx sent it, in order; none at the end where nobody was left.
    pub(crate) route: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
enum Key {
    None,
    Client(IpAddr),
    Text(String),
}

/// A step as it is written down.
#[derive(Deserialize)]
struct Written {
    op: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    refuse: Vec<usize>,
    #[serde(default)]
    t: u64,
}

/// Those of the recordings whose names `are_meant`, of which there are `count`. None, with a message,
/// where there are no recordings.
pub(crate) fn recordings(count: usize, are_meant: impl Fn(&str) -> bool) -> Vec<Recording> {
    let folder = env::var_os("TIGHTROPE_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        eprintln!("SKIPPED: no recordings in {}", folder.display());
        assert!(
            env::var_os("TIGHTROPE_REQUIRE_ALL").is_none(),
            "the recordings are required here"
        );
        return Vec::new();
    }
    let files = fs::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| are_meant(&path.file_stem().unwrap().to_string_lossy()))
        .collect();
    files.sort();
    assert_eq!(files.len(), count, "{files:?}");
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    files.into_iter().map(read).collect()
}

const fn one() -> u32 {
    1
}

const fn ten() -> u64 {
    10
}

fn from<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

// === impl Recording ===

impl Recording {
    pub(crate) fn steps(&self) -> Vec<Step> {
        let written: Vec<Written> = from(&self.inputs);
        let expected: Vec<Option<Vec<i64>>> = from(&self.expect);
        assert_eq!(written.len(), expected.len());
        let steps = written.into_iter().zip(expected);
        let steps = steps.map(|(step, route)| match step.op.as_str() {
            "set" => Step::Refuse(step.refuse),
            "time" => Step::Time(step.t),
            "end" => Step::End(step.id),
            _ => Step::Request(Request {
                id: step.id,
                key: self.key(step.key),
                // -1 is nobody.
                route: route
                    .unwrap()
                    .into_iter()
                    .map(|place| usize::try_from(place).ok())
                    .collect(),
            }),
        });
        steps.collect()
    }

    fn key(&self, key: String) -> Key {
        match self.algorithm {
            Algorithm::IpHash => Key::Client(key.parse().unwrap()),
            Algorithm::Hash | Algorithm::HashConsistent => Key::Text(key),
            Algorithm::LeastConn | Algorithm::RoundRobin => Key::None,
        }
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// The one of ours.
    pub(crate) fn strategy(self) -> Box<dyn Strategy> {
        match self {
            Self::IpHash => Box::new(nginx::IpHash::new()),
            Self::Hash => Box::new(nginx::KeyHash::new()),
            Self::HashConsistent => Box::new(nginx::ConsistentHash::new()),
            Self::LeastConn => Box::new(nginx::LeastConn::new()),
            Self::RoundRobin => Box::new(RoundRobin::new()),
        }
    }
}

// === impl Request ===

impl Request {
    pub(crate) fn context<'r>(&'r self, attempt: &'r Attempt) -> Context<'r> {
        let context = Context::new().with_attempt(attempt);
        match &self.key {
            Key::None => context,
            Key::Client(client) => context.with_client(*client),
            Key::Text(key) => context.with_key(key.as_bytes()),
        }
    }
}
