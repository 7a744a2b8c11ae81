//! Probes that ask elsewhere than where the traffic goes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use tightrope_health::{Probe, ProbeError, TcpProbe, probe::Place, probe::check};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Metadata, Upstream};
use tokio::net::TcpListener;

const PLENTY: Duration = Duration::from_secs(30);

/// Nobody listens there, or everything would be found in the wrong place.
const NOWHERE: &str = "127.0.0.1:1";

fn endpoint(address: &str, metadata: &[(&str, String)]) -> Arc<Endpoint> {
    let upstream = Upstream::new("test");
    let metadata = metadata.iter().cloned().collect::<Metadata>();
    let spec = EndpointSpec::new(address.parse().unwrap()).with_metadata(metadata);
    upstream.apply(Change::new().add(spec)).unwrap();
    Arc::clone(&upstream.snapshot().members()[0])
}

async fn server() -> (TcpListener, Address) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().try_into().unwrap();
    (server, address)
}

fn port(address: &Address) -> NonZeroU16 {
    let Address::Socket(socket) = address else {
        panic!("{address} has no port");
    };
    NonZeroU16::new(socket.port()).unwrap()
}

/// Where a probe at `place` asks an endpoint at `address`.
fn found(place: &Place, address: &str, metadata: &[(&str, String)]) -> String {
    let probe = TcpProbe::new().with_place(place.clone());
    probe
        .place(&endpoint(address, metadata))
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn another_port_of_the_endpoint_is_asked() {
    let (_server, address) = server().await;
    let endpoint = endpoint(NOWHERE, &[]);
    let traffic = check(&TcpProbe::new(), &endpoint, PLENTY).await;
    traffic.unwrap_err();
    let probe = TcpProbe::new().with_place(Place::Port(port(&address)));
    check(&probe, &endpoint, PLENTY).await.unwrap();
}

#[tokio::test]
async fn another_address_is_asked() {
    let (_server, address) = server().await;
    let probe = TcpProbe::new().with_place(Place::Address(address));
    let endpoint = endpoint("unreachable.invalid:80", &[]);
    check(&probe, &endpoint, PLENTY).await.unwrap();
}

#[tokio::test]
async fn each_endpoint_can_name_its_own_place() {
    let (_server, address) = server().await;
    let probe = TcpProbe::new().with_place(Place::Metadata("health".into()));
    for place in [address.to_string(), port(&address).to_string()] {
        let endpoint = endpoint(NOWHERE, &[("health", place)]);
        check(&probe, &endpoint, PLENTY).await.unwrap();
    }
    let endpoint = endpoint(&address.to_string(), &[("zone", "7".to_owned())]);
    check(&probe, &endpoint, PLENTY).await.unwrap();
}

#[test]
fn a_port_is_that_of_the_same_host() {
    let place = Place::Port(NonZeroU16::new(9101).unwrap());
    for (address, asked) in [
        ("10.0.0.1:80", "10.0.0.1:9101"),
        ("[::1]:80", "[::1]:9101"),
        ("api.internal:80", "api.internal:9101"),
    ] {
        assert_eq!(found(&place, address, &[]), asked);
        assert_eq!(found(&Place::Traffic, address, &[]), address);
    }
}

#[test]
fn who_asks_another_probe_asks_at_its_place() {
    let place = Place::Port(NonZeroU16::new(9101).unwrap());
    let probe: Arc<dyn Probe> = Arc::new(Box::new(TcpProbe::new().with_place(place)));
    let place = probe.place(&endpoint("10.0.0.1:80", &[])).unwrap();
    assert_eq!(place.to_string(), "10.0.0.1:9101");
}

#[tokio::test]
async fn a_place_that_is_none_fails_the_probe() {
    let cases = [
        (
            Place::Port(NonZeroU16::new(9101).unwrap()),
            endpoint("unix:/run/api.sock", &[]),
            "probe: connect failed: `unix:/run/api.sock` has no port 9101",
        ),
        (
            Place::Metadata("health".into()),
            endpoint(NOWHERE, &[("health", "soon".to_owned())]),
            "probe: connect failed: `soon` is not an address",
        ),
        (
            Place::Metadata("health".into()),
            endpoint(NOWHERE, &[("health", "0".to_owned())]),
            "probe: connect failed: `0` is not an address",
        ),
    ];
    for (place, endpoint, words) in cases {
        let probe = TcpProbe::new().with_place(place);
        let error = check(&probe, &endpoint, PLENTY).await.unwrap_err();
        assert!(matches!(error, ProbeError::Connect(_)), "{error:?}");
        let reason = error.reason().to_string();
        assert!(reason.starts_with(words), "{reason}");
    }
}
