//! An upstream with a blue group that has the traffic and a green one that stands by.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use tightrope_rollout::BlueGreen;
use tightrope_upstream::{
    Change, Endpoint, EndpointId, EndpointSpec, Failure, Group, Outcome, Upstream,
};

pub(crate) fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

pub(crate) fn id(name: &str) -> EndpointId {
    EndpointId::new(name).unwrap()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A member known as, say, `green-1`.
pub(crate) fn member(group_name: &str, number: u16) -> EndpointSpec {
    EndpointSpec::new(format!("127.0.0.1:{}", 8000 + number).parse().unwrap())
        .with_id(id(&format!("{group_name}-{number}")))
        .with_group(group(group_name))
}

/// `each` members in each of the groups blue, green and yellow; blue has the traffic.
pub(crate) fn upstream(each: u16) -> Upstream {
    let upstream = Upstream::new("shop");
    let members = ["blue", "green", "yellow"]
        .into_iter()
        .flat_map(|name| (1..=each).map(move |number| member(name, number)));
    let change = Change::new().replace(members).activate(group("blue"));
    upstream.apply(change).unwrap();
    upstream
}

pub(crate) fn to_green(upstream: &Upstream) -> BlueGreen {
    BlueGreen::new(upstream, group("green"))
}

pub(crate) fn active(upstream: &Upstream) -> Option<String> {
    upstream.snapshot().active_group().map(ToString::to_string)
}

pub(crate) fn endpoint(upstream: &Upstream, name: &str) -> Arc<Endpoint> {
    Arc::clone(upstream.snapshot().get(&id(name)).unwrap().0)
}

/// Ends this many attempts on an endpoint that is in service.
pub(crate) fn traffic(upstream: &Upstream, name: &str, succeeded: u64, failed: u64) {
    let endpoint = endpoint(upstream, name);
    let outcomes = [
        (Outcome::Success, succeeded),
        (Outcome::Failure(Failure::Response), failed),
    ];
    for (outcome, times) in outcomes {
        for _ in 0..times {
            endpoint.pick().unwrap().set_outcome(outcome);
        }
    }
}
