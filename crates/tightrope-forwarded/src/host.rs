//! The host that the client asked for.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

use crate::names::X_FORWARDED_HOST;
use crate::node::port_number;
use crate::parse::last_element;

/// A valid `host` or `host:port`, held without a copy where the request has it in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Field(HeaderValue),
    Target(Authority),
}

impl Host {
    /// The host of the request itself; `None` if there is none, more than one, or not a valid one.
    pub(crate) fn of_request(headers: &HeaderMap, target: &Uri) -> Option<Self> {
        // RFC 9112 §3.2.2: the authority of an absolute target goes before the Host field.
        if let Some(authority) = target.authority() {
            return is_host(authority.as_str().as_bytes()).then(|| Self::Target(authority.clone()));
        }
        let mut lines = headers.get_all(HOST).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) if is_host(line.as_bytes()) => Some(Self::Field(line.clone())),
            _ => None,
        }
    }

    /// The host in the last element of `X-Forwarded-Host`, if it is valid.
    pub(crate) fn forwarded(headers: &HeaderMap) -> Option<Self> {
        let element =
            last_element(headers, &X_FORWARDED_HOST).filter(|element| is_host(element))?;
        let whole = headers
            .get_all(&X_FORWARDED_HOST)
            .iter()
            .next_back()
            .filter(|line| line.as_bytes() == element);
        whole
            .cloned()
            .or_else(|| HeaderValue::from_bytes(element).ok())
            .map(Self::Field)
    }

    /// A host that stands in a larger value, if it is valid.
    pub(crate) fn of_bytes(text: &[u8]) -> Option<Self> {
        is_host(text)
            .then(|| HeaderValue::from_bytes(text).ok())
            .flatten()
            .map(Self::Field)
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Field(value) => value.to_str().unwrap_or_default(),
            Self::Target(authority) => authority.as_str(),
        }
    }

    pub(crate) fn to_value(&self) -> Option<HeaderValue> {
        match self {
            Self::Field(value) => Some(value.clone()),
            Self::Target(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        }
    }
}

/// A name, an IPv4 address or a bracketed IPv6 address, and perhaps a port.
///
/// Of RFC 3986 §3.2.2 the unreserved characters alone: what else a registered name may hold (`'`, `;`, `%41`) is no
/// part of a real one, and this value ends up in the URLs that applications build.
fn is_host(text: &[u8]) -> bool {
    let (name, rest) = if text.first() == Some(&b'[') {
        let end = text.iter().position(|byte| *byte == b']').unwrap_or(0);
        let (name, rest) = text.split_at(end + 1);
        let address = name
            .strip_prefix(b"[")
            .and_then(|name| name.strip_suffix(b"]"));
        let v6 = address.and_then(|address| str::from_utf8(address).ok());
        (
            v6.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
            rest,
        )
    } else {
        let end = text
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let plain = name.iter().all(|byte| IN_NAMES[usize::from(*byte)]);
        (plain && !name.is_empty(), rest)
    };
    // RFC 3986 §3.2.3: the port may be empty.
    name && match rest {
        [] | [b':'] => true,
        [b':', port @ ..] => port_number(port).is_some(),
        _ => false,
    }
}

/// The bytes that a name is made of. A table, as there is a look for each byte of each request.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let is_plain = matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        table[byte] = is_plain || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for host in [
            "a",
            "My.Host.test:8080",
            "192.0.2.1",
            "[2001:db8::5]:8080",
            "[::1]",
            "a_b-c~d.",
            "a:",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "u@a", "a, b", "a:99x", "a:0", "a:65536", "[::1", "[::1]x",
            "::1", "[a]", "[]", "a'b", "a%41", "a;b", "é", "a\"", "[", "]",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn the_target_goes_before_the_host_field() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("evil.test"));
        let target = Uri::from_static("http://good.test/x");
        assert_eq!(
            Host::of_request(&headers, &target).unwrap().as_str(),
            "good.test"
        );
        assert_eq!(
            Host::of_request(&headers, &Uri::from_static("/x"))
                .unwrap()
                .as_str(),
            "evil.test"
        );
        assert_eq!(
            Host::of_request(&headers, &Uri::from_static("http://u@good.test/x")),
            None
        );
    }

    #[test]
    fn two_host_fields_are_no_host() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("a"));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(Host::of_request(&headers, &Uri::from_static("/")), None);
        assert_eq!(
            Host::of_request(&HeaderMap::new(), &Uri::from_static("/")),
            None
        );
    }

    #[test]
    fn the_nearest_proxy_has_the_last_word_on_the_host() {
        let mut headers = HeaderMap::new();
        headers.append(&X_FORWARDED_HOST, HeaderValue::from_static("a.test"));
        headers.append(
            &X_FORWARDED_HOST,
            HeaderValue::from_static("b.test, c.test"),
        );
        assert_eq!(Host::forwarded(&headers).unwrap().as_str(), "c.test");
        headers.append(&X_FORWARDED_HOST, HeaderValue::from_static("d.test"));
        assert_eq!(Host::forwarded(&headers).unwrap().as_str(), "d.test");
        headers.append(&X_FORWARDED_HOST, HeaderValue::from_static("not a host"));
        assert_eq!(Host::forwarded(&headers), None);
    }
}
