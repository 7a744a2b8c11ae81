//! Which identity headers leave, and with what in them.

use std::fmt::Write;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::client::forwarded_scheme;
use crate::names::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REAL_IP,
    is_disguised, is_identity,
};
use crate::node::port_number;
use crate::parse::{join_lines, last_element};
use crate::{Client, Peer, Trust};

/// What becomes of the `X-Forwarded-For` that a trusted peer sent.
///
/// From any other peer it is always overwritten with the peer's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedFor {
    /// The default. All its lines and the address of the peer, joined with `, ` into one line, as
    /// `$proxy_add_x_forwarded_for` of nginx does. For servers that walk the list themselves.
    #[default]
    Append,
    /// The address of the [`Client`] alone. For servers that take the first or the last element for the client.
    Replace,
}

/// A header that is written besides `X-Forwarded-For`, if asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityHeader {
    /// `X-Forwarded-Proto`: [`Client::scheme`], `http` or `https`. On by default.
    XForwardedProto,
    /// `X-Forwarded-Host`: [`Client::host`]; left out if that is `None`. On by default.
    XForwardedHost,
    /// `X-Forwarded-Port`: the last element of what a trusted peer sent, else [`Peer::local_port`]; left out if
    /// that is not known, or if a trusted peer sent `X-Forwarded-Proto` without it: the port of our listener then
    /// says nothing about the one that the client used. Off by default.
    XForwardedPort,
    /// `X-Real-IP`: [`Client::address`]; left out if that is `None`. What a trusted peer sent under this name is
    /// overwritten too, so that it cannot contradict `X-Forwarded-For`. Off by default.
    XRealIp,
}

/// The settings of the layer, and what they do to a request.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) trust: Trust,
    pub(crate) forwarded_for: ForwardedFor,
    written: [bool; 4],
}

impl Rewrite {
    pub(crate) fn new(trust: Trust) -> Self {
        let mut rewrite = Self {
            trust,
            forwarded_for: ForwardedFor::default(),
            written: [false; 4],
        };
        rewrite.set_written(IdentityHeader::XForwardedProto, true);
        rewrite.set_written(IdentityHeader::XForwardedHost, true);
        rewrite
    }

    pub(crate) fn set_written(&mut self, header: IdentityHeader, written: bool) {
        self.written[header as usize] = written;
    }

    /// Resolves the client, puts it into the extensions, and leaves only headers that may be believed.
    pub(crate) fn apply<B>(&self, request: &mut Request<B>) {
        let Some(peer) = request.extensions().get::<Peer>().copied() else {
            request.extensions_mut().remove::<Client>();
            remove_all(request.headers_mut(), is_identity);
            return;
        };
        let client = Client::resolve(&self.trust, &peer, request.headers(), request.uri());
        let trusted = self.trust.trusts(&peer);
        let headers = request.headers_mut();

        let hops = match self.forwarded_for {
            ForwardedFor::Append if trusted => {
                let peer = peer.address().map(AddressText::new);
                join_lines(
                    headers,
                    &X_FORWARDED_FOR,
                    peer.as_ref().map_or("", AddressText::as_str),
                )
            }
            _ => client
                .address()
                .and_then(|address| AddressText::new(address).to_value()),
        };
        let port = outer_port(&peer, headers, trusted);

        // What is about to be overwritten is not worth a removal of its own.
        let ours = |name: &HeaderName| {
            *name == X_FORWARDED_FOR || self.owned().any(|(_, owned)| owned == name)
        };
        let doomed = if trusted { is_disguised } else { is_identity };
        remove_all(headers, |name| doomed(name) && !ours(name));

        set(headers, &X_FORWARDED_FOR, hops);
        for (header, name) in self.owned() {
            let value = match header {
                IdentityHeader::XForwardedProto => {
                    Some(HeaderValue::from_static(client.scheme().as_str()))
                }
                IdentityHeader::XForwardedHost => {
                    client.host_in_one_piece().and_then(|host| host.to_value())
                }
                IdentityHeader::XForwardedPort => port.map(HeaderValue::from),
                IdentityHeader::XRealIp => client
                    .address()
                    .and_then(|address| AddressText::new(address).to_value()),
            };
            set(headers, name, value);
        }
        request.extensions_mut().insert(client);
    }

    /// The headers that are switched on.
    fn owned(&self) -> impl Iterator<Item = (IdentityHeader, &'static HeaderName)> {
        let all: [(IdentityHeader, &'static HeaderName); 4] = [
            (IdentityHeader::XForwardedProto, &X_FORWARDED_PROTO),
            (IdentityHeader::XForwardedHost, &X_FORWARDED_HOST),
            (IdentityHeader::XForwardedPort, &X_FORWARDED_PORT),
            (IdentityHeader::XRealIp, &X_REAL_IP),
        ];
        all.into_iter()
            .filter(|(header, _)| self.written[*header as usize])
    }
}

/// The port that the client connected to.
fn outer_port(peer: &Peer, headers: &HeaderMap, trusted: bool) -> Option<u16> {
    let received = trusted
        .then(|| last_element(headers, &X_FORWARDED_PORT).and_then(port_number))
        .flatten();
    let behind_another = trusted && forwarded_scheme(headers).is_some();
    received.or_else(|| peer.local_port().filter(|_| !behind_another))
}

/// One pass over the names whatever a client sends; the list is allocated only if there is something to remove.
fn remove_all(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| doomed(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    let Some(value) = value else {
        headers.remove(name);
        return;
    };
    // `insert` panics above 24,576 names. No server reads a head like that; if one did, nothing forged is left in it.
    if headers.try_insert(name, value).is_err() {
        headers.remove(name);
    }
}

/// An address as text, on the stack.
struct AddressText {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl AddressText {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
    const MAX: usize = 45;

    fn new(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; Self::MAX],
            length: 0,
        };
        // It fits, so this cannot fail.
        let _ = write!(text, "{address}");
        text
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn to_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.as_str()).ok()
    }
}

impl Write for AddressText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.length + part.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?
            .copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_fits_on_the_stack() {
        for text in [
            "255.255.255.255",
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:255.255.255.255",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressText::new(address).as_str(), address.to_string());
        }
    }

    #[test]
    fn a_full_header_map_does_not_panic() {
        let mut headers = HeaderMap::new();
        for number in 0.. {
            let name: HeaderName = format!("n{number}").parse().unwrap();
            if headers
                .try_insert(name, HeaderValue::from_static(""))
                .is_err()
            {
                break;
            }
        }
        set(
            &mut headers,
            &X_REAL_IP,
            Some(HeaderValue::from_static("192.0.2.1")),
        );
        assert!(!headers.contains_key(&X_REAL_IP));
        remove_all(&mut headers, |_| true);
        assert!(headers.is_empty());
    }
}
