//! What HTTP of any version needs.

use std::net::SocketAddr;

use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tightrope_upstream::Address;

use crate::ProbeError;

/// What a server at `address` is called by default.
pub(super) fn host(address: &Address) -> String {
    match address {
        // Without the zone of an IPv6 address, which means nothing to the other side.
        Address::Socket(socket) => SocketAddr::new(socket.ip(), socket.port()).to_string(),
        Address::Host { .. } => address.to_string(),
        _ => "localhost".to_owned(),
    }
}

/// All of a body and its trailers. Fails when more than `limit` bytes came.
pub(super) async fn read(
    mut body: Incoming,
    limit: usize,
) -> Result<(Vec<u8>, HeaderMap), ProbeError> {
    let mut bytes = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(ProbeError::exchange)?.into_data() {
            Ok(data) if data.len() > limit - bytes.len() => {
                let words = format!("body is longer than {limit} bytes");
                return Err(ProbeError::Unexpected(words));
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((bytes, trailers))
}
