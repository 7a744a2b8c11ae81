//! Where a probe connects to.

use std::{io, num::NonZeroU16, sync::Arc};

use tightrope_upstream::{Address, Endpoint};

use crate::ProbeError;

/// Where a probe connects to, if not to where the traffic goes.
///
/// Who is asked elsewhere is asked by another name: the `Host` header, the authority of a gRPC call and
/// the name that a certificate must be for are by default those of the place, not of the endpoint. Where
/// the other side tells its names apart, set them.
///
/// ```
/// use std::num::NonZeroU16;
/// use tightrope_health::{TcpProbe, probe::Place};
///
/// // Each endpoint at its own IP address, on the port of its agent.
/// let agent = NonZeroU16::new(9101).ok_or("a port")?;
/// let probe = TcpProbe::new().with_place(Place::Port(agent));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The address of the endpoint. The default.
    #[default]
    Traffic,
    /// Another port at the address of the endpoint. One that is a Unix socket has no ports: its probes
    /// fail.
    Port(NonZeroU16),
    /// This address, whichever the endpoint: somebody who knows, such as an agent beside them.
    Address(Address),
    /// What the endpoint's metadata has under this key: a port, or an address as
    /// [`Address`] writes it. Endpoints that have no such key are asked at their own address; those
    /// whose value is neither fail. What an update changes in it is seen from the second probe after
    /// that on: the first is prepared already.
    Metadata(Arc<str>),
}

// === impl Place ===

impl Place {
    /// The place where `endpoint` is asked: for [`Probe::place`](crate::Probe::place) of a probe of
    /// your own.
    ///
    /// # Errors
    /// [`ProbeError::Connect`]: there is no such place.
    pub fn of(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        let address = endpoint.address();
        match self {
            Self::Traffic => Ok(address.clone()),
            Self::Port(port) => at(address, *port),
            Self::Address(address) => Ok(address.clone()),
            Self::Metadata(key) => match endpoint.metadata().get(key) {
                None => Ok(address.clone()),
                Some(value) => match value.parse() {
                    Ok(port) => at(address, port),
                    Err(_) => value.parse().map_err(nowhere),
                },
            },
        }
    }
}

/// `address` with another port.
fn at(address: &Address, port: NonZeroU16) -> Result<Address, ProbeError> {
    match address.clone() {
        Address::Socket(mut socket) => {
            socket.set_port(port.get());
            Ok(Address::Socket(socket))
        }
        Address::Host { name, .. } => Ok(Address::Host {
            name,
            port: port.get(),
        }),
        _ => Err(nowhere(format!("`{address}` has no port {port}"))),
    }
}

fn nowhere(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProbeError {
    ProbeError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error))
}
