//! The numbers by which HAProxy tells servers apart.

use std::collections::HashSet;

use tightrope_upstream::{Endpoint, Snapshot};

/// The label of an endpoint that holds the number which HAProxy's `id` gives the server.
///
/// Without it they are numbered 1, 2, 3 ... in the order of configuration, so taking one out
/// renumbers those behind it, as it does in HAProxy. The labels of an upstream must differ.
pub const ID_LABEL: &str = "haproxy-id";

/// The number of each member.
pub(super) fn numbers(snapshot: &Snapshot) -> Vec<u32> {
    let given = |member: &Endpoint| member.metadata().get(ID_LABEL)?.parse().ok();
    let members = snapshot.members().iter();
    let used: HashSet<u32> = members.clone().filter_map(|member| given(member)).collect();
    let mut unused = (1..).filter(|number| !used.contains(number));
    members
        .map(|member| given(member).or_else(|| unused.next()).unwrap_or_default())
        .collect()
}
