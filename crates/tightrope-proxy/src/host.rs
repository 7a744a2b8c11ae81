//! The host of a request: what is valid, and what an endpoint is told.

use std::net::Ipv6Addr;

use http::HeaderValue;

/// Which `Host` an endpoint sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostPolicy {
    /// What the client asked for: the host of an absolute target, else its `Host` field. The
    /// default, as endpoints that serve several sites and build absolute links need it. A client
    /// of HTTP/1.0 that names no host gets the address of the endpoint.
    #[default]
    Keep,
    /// The address of the endpoint; `localhost` for a Unix socket.
    Endpoint,
    /// Always this.
    Fixed(HeaderValue),
}

/// A text that is not a host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a host with an optional port", text.escape_debug())]
pub struct HostError {
    text: String,
}

impl HostPolicy {
    /// Always `host`, which may have a port.
    ///
    /// # Errors
    /// It is not one.
    pub fn fixed(host: &str) -> Result<Self, HostError> {
        let value = HeaderValue::from_str(host).ok();
        let value = value.filter(|value| is_host_and_port(value.as_bytes()));
        value.map(Self::Fixed).ok_or_else(|| HostError {
            text: host.to_owned(),
        })
    }
}

/// The longest host name of the DNS, and a port.
const MAX: usize = 253 + 6;

/// Whether `authority` is a host with an optional port, as in RFC 9110 §7.2.
///
/// Narrower than the grammar on purpose: the sub-delimiters and percent-escapes that RFC 3986 lets
/// a registered name have are in no name that a client could have resolved, and some servers read
/// them in their own way.
pub(crate) fn is_host_and_port(authority: &[u8]) -> bool {
    if authority.len() > MAX {
        return false;
    }
    let (host, rest) = match authority.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = literal.iter().position(|&b| b == b']') else {
                return false;
            };
            let (address, rest) = (&literal[..end], &literal[end + 1..]);
            if !is_ipv6(address) {
                return false;
            }
            (&b"[]"[..], rest)
        }
        None => {
            let end = authority.iter().position(|&b| b == b':');
            authority.split_at(end.unwrap_or(authority.len()))
        }
    };
    let names = |byte: &u8| IN_NAMES[usize::from(*byte)];
    let host_holds = !host.is_empty() && (host == b"[]" || host.iter().all(names));
    host_holds && (rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port))
}

/// Whether it is a port; an empty one stands for the default (RFC 3986 §3.2.3).
fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))
            <= 65535
}

/// The host without its port, and without the dot that ends an absolute name.
pub(crate) fn without_port(host: &str) -> &str {
    let name = match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
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
    fn names_addresses_and_ports_are_hosts() {
        for host in [
            "a",
            "a.test",
            "A.Test:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "a:",
            "a_b",
            "a.:80",
        ] {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_two_servers_could_read_differently_is_no_host() {
        let long = "a".repeat(260);
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "u@a",
            "a, b",
            "a,b",
            "a:99x",
            "a:65536",
            "a:000080",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[::g]",
            "[]",
            "a%2fb",
            "a\\b",
            "a?b",
            "a#b",
            "\u{e9}.test",
            "::1",
            &long,
        ] {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_fixed_host_is_checked() {
        let policy = HostPolicy::fixed("app.test:81");
        let value = HeaderValue::from_static("app.test:81");
        assert_eq!(policy, Ok(HostPolicy::Fixed(value)));
        let error = HostPolicy::fixed("a/b").unwrap_err().to_string();
        assert_eq!(error, "`a/b` is not a host with an optional port");
    }

    #[test]
    fn the_port_and_the_last_dot_are_left_out() {
        for (host, name) in [
            ("a.test:80", "a.test"),
            ("a.test.", "a.test"),
            ("a.test.:80", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
