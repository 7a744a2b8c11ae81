//! Replays what nginx 1.22.1 was seen to choose.
//!
//! The recordings live beside the repository; set `TIGHTROPE_VECTORS` to their folder if they are
//! elsewhere. Left out here are the cases with failures, `backup` or `max_conns`, which need the
//! health of endpoints, and the strategies that are not built yet.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tightrope_balance::{Balance, Context, RoundRobin, Strategy, nginx};
use tightrope_upstream::{Change, EndpointId, EndpointSpec, Upstream, Weight};

#[derive(Deserialize)]
struct Case {
    id: String,
    algorithm: String,
    kind: String,
    config: Config,
    inputs: Value,
    expect: Value,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    weight: u32,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    backup: bool,
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
    None
}

/// The recorded cases of `algorithm`, but for those with backup servers.
fn cases(folder: &Path, algorithm: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("nginx-") && name.ends_with(".json")
        })
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .filter(|case: &Case| case.algorithm == algorithm)
        .filter(|case| case.kind == "seq" || case.kind == "key")
        .filter(|case| !case.config.servers.iter().any(|server| server.backup))
        .collect();
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    cases
}

fn balance(case: &Case, strategy: impl Strategy) -> Balance<()> {
    let upstream = Upstream::new(&case.id);
    let mut change = Change::new();
    for (number, server) in (1..).zip(&case.config.servers) {
        let address = format!("10.0.0.1:{number}").parse().unwrap();
        let id = EndpointId::new(&number.to_string()).unwrap();
        change = change.add(
            EndpointSpec::new(address)
                .with_id(id.clone())
                .with_weight(Weight::new(server.weight).unwrap()),
        );
        if server.down {
            change = change.drain(id, "down");
        }
    }
    upstream.apply(change).unwrap();
    Balance::new(&upstream, strategy, ())
}

/// The 0-based place of the endpoint that was picked; -1 for nobody.
fn pick(balance: &mut Balance<()>, context: &Context<'_>) -> i64 {
    balance.pick(context).map_or(-1, |pick| {
        pick.endpoint().id().as_str().parse::<i64>().unwrap() - 1
    })
}

fn replay<T: Strategy>(
    algorithm: &str,
    least_cases: usize,
    strategy: impl Fn() -> T,
    context: impl for<'k> Fn(&'k str) -> Context<'k>,
) {
    let Some(folder) = folder() else { return };
    let cases = cases(&folder, algorithm);
    assert!(cases.len() >= least_cases, "only {} cases", cases.len());
    for case in cases {
        let mut balance = balance(&case, strategy());
        let expected: Vec<i64> = serde_json::from_value(case.expect.clone()).unwrap();
        let picked: Vec<i64> = match case.kind.as_str() {
            "seq" => (0..case.inputs["count"].as_u64().unwrap())
                .map(|_| pick(&mut balance, &Context::new()))
                .collect(),
            _ => {
                let keys = case.inputs.as_array().unwrap().iter();
                keys.map(|key| pick(&mut balance, &context(key.as_str().unwrap())))
                    .collect()
            }
        };
        assert_eq!(picked, expected, "{}", case.id);
    }
}

#[test]
fn round_robin_follows_nginx() {
    replay("nginx.round_robin", 10, RoundRobin::new, |_| Context::new());
}

#[test]
fn ip_hash_follows_nginx() {
    replay("nginx.ip_hash", 12, nginx::IpHash::new, |client| {
        let client: IpAddr = client.parse().unwrap();
        Context::new().with_client(client)
    });
}

#[test]
fn hash_follows_nginx() {
    replay("nginx.hash", 6, nginx::KeyHash::new, |key| {
        Context::new().with_key(key.as_bytes())
    });
}
