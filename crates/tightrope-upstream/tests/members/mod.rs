//! Members by short names.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tightrope_upstream::{EndpointId, EndpointSpec};

pub(crate) fn id(name: &str) -> EndpointId {
    EndpointId::new(name).unwrap()
}

/// A member known as `name`, of weight 1, in no group.
pub(crate) fn member(name: &str) -> EndpointSpec {
    EndpointSpec::new(format!("{name}.internal:80").parse().unwrap()).with_id(id(name))
}
