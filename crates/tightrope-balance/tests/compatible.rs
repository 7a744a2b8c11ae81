//! What recordings do not show of the strategies that follow other servers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tightrope_balance::{
    Balance, Context, Strategy, envoy,
    haproxy::{self, HashType, ID_LABEL},
    nginx,
};
use tightrope_upstream::{Change, EndpointId, EndpointSpec, Health, Pick, Upstream};

use crate::support::{assert_shares, id, number, spec, tried, upstream};

fn pick(balance: &mut Balance<()>, key: usize) -> Pick {
    let key = key.to_string();
    balance
        .pick(&Context::new().with_key(key.as_bytes()))
        .unwrap()
}

fn places(balance: &mut Balance<()>) -> Vec<usize> {
    (0..500).map(|key| number(&pick(balance, key))).collect()
}

/// Where keys go among endpoints with these ids in HAProxy.
fn numbered(ids: &[Option<&str>]) -> Balance<()> {
    let upstream = Upstream::new("test");
    let specs = ids.iter().enumerate().map(|(n, given)| {
        let labels = given.map(|given| (ID_LABEL, given));
        spec(n, 1).with_metadata(labels.into_iter().collect())
    });
    upstream.apply(Change::new().replace(specs)).unwrap();
    let strategy = haproxy::KeyHash::new(HashType::consistent());
    Balance::new(&upstream, strategy, ())
}

#[test]
fn haproxy_numbers_those_without_an_id_by_the_unused_ones() {
    let mut counted = numbered(&[None, None, None]);
    let mut given = numbered(&[Some("1"), Some("2"), Some("3")]);
    assert_eq!(places(&mut counted), places(&mut given));

    let mut mixed = numbered(&[None, Some("1"), None]);
    let mut given = numbered(&[Some("2"), Some("1"), Some("3")]);
    assert_eq!(places(&mut mixed), places(&mut given));
}

#[test]
fn haproxy_moves_only_the_keys_of_who_becomes_unavailable() {
    let upstream = upstream(&[1, 2, 3]);
    let strategy = haproxy::KeyHash::new(HashType::consistent());
    let mut balance = Balance::new(&upstream, strategy, ());
    let before = places(&mut balance);
    upstream
        .apply(Change::new().set_health(id(1), Health::Unhealthy, "test"))
        .unwrap();
    for (before, after) in before.into_iter().zip(places(&mut balance)) {
        assert!(if before == 1 {
            after != 1
        } else {
            after == before
        });
    }
}

#[test]
fn haproxy_folds_ipv6_addresses() {
    let strategy = || haproxy::Source::new(HashType::map_based());
    let upstream = upstream(&[1; 7]);
    let mut balance = Balance::new(&upstream, strategy(), ());
    let mut place = |client: &str| {
        let context = Context::new().with_client(client.parse().unwrap());
        number(&balance.pick(&context).unwrap())
    };
    // 0x0a000001 = 167,772,161 = 4 modulo 7, in whichever word it stands.
    for client in ["10.0.0.1", "::10.0.0.1", "a00:1::", "0:0:a00:1::"] {
        assert_eq!(place(client), 4, "{client}");
    }
}

#[test]
fn nginx_knows_servers_by_the_names_of_its_configuration() {
    let places = |names: [&str; 2]| {
        let upstream = Upstream::new("test");
        let specs = names.iter().enumerate().map(|(n, name)| {
            let address = format!("192.0.2.{n}:80").parse().unwrap();
            EndpointSpec::new(address).with_id(EndpointId::new(name).unwrap())
        });
        upstream.apply(Change::new().replace(specs)).unwrap();
        let mut balance = Balance::new(&upstream, nginx::ConsistentHash::new(), ());
        let first = |key| pick(&mut balance, key).endpoint().id().as_str() == names[0];
        (0..500).map(first).collect::<Vec<bool>>()
    };
    let socket = places(["unix:/run/a.sock", "app:80"]);
    assert_eq!(places(["UNIX:/run/a.sock", "app:80"]), socket);
    assert_eq!(places(["/run/a.sock", "app:80"]), socket);
    assert_ne!(places(["unix:/run/b.sock", "app:80"]), socket);
    assert_ne!(places(["unix:/run/a.sock", "app"]), socket);
}

#[test]
fn least_conn_goes_on_with_its_turns_after_a_change() {
    let upstream = upstream(&[3, 1, 1]);
    let mut balance = Balance::new(&upstream, nginx::LeastConn::new(), ());
    let context = Context::new();
    let turns = |balance: &mut Balance<()>, count: usize| {
        (0..count)
            .map(|_| number(&balance.pick(&context).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(turns(&mut balance, 2), [0, 1]);
    upstream.apply(Change::new().add(spec(3, 0))).unwrap();
    assert_eq!(turns(&mut balance, 3), [0, 2, 0]);
}

#[test]
fn what_has_no_key_in_envoy_spreads_by_weight() {
    let weights = [1, 2, 5];
    let upstream = upstream(&weights);
    let strategies: [Box<dyn Strategy>; 2] = [
        Box::new(envoy::Maglev::new()),
        Box::new(envoy::RingHash::new().with_minimum_ring_size(1 << 16)),
    ];
    for strategy in strategies {
        let mut balance = Balance::new(&upstream, strategy, ()).with_seed(5);
        let mut got = [0; 3];
        for _ in 0..4_000 {
            got[number(&balance.pick(&Context::new()).unwrap())] += 1;
        }
        assert_shares("no key", &got, &weights);
    }
}

#[test]
fn a_retry_goes_the_same_way_each_time() {
    let upstream = upstream(&[1, 2, 3, 4]);
    let strategies: [Box<dyn Strategy>; 5] = [
        Box::new(envoy::Maglev::new()),
        Box::new(envoy::RingHash::new()),
        Box::new(haproxy::KeyHash::new(HashType::consistent())),
        Box::new(haproxy::KeyHash::new(HashType::map_based())),
        Box::new(nginx::ConsistentHash::new()),
    ];
    for strategy in strategies {
        let mut balance = Balance::new(&upstream, strategy, ());
        for key in 0..50 {
            let first = number(&pick(&mut balance, key));
            let attempt = tried(&[first]);
            let key = key.to_string();
            let context = Context::new()
                .with_key(key.as_bytes())
                .with_attempt(&attempt);
            let mut again = || number(&balance.pick(&context).unwrap());
            let second = again();
            assert_ne!(second, first);
            assert_eq!(again(), second);
        }
    }
}
