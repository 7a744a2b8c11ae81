//! One element of `X-Forwarded-For`, or the `for` of one of `Forwarded`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that a proxy wrote down, with the port if it wrote that too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

impl Node {
    /// Reads a node of RFC 7239 §6 that is an address: IPv6 in brackets, and a port that may be obfuscated (`_p`),
    /// which is as good as none. `unknown` and obfuscated names (`_hidden`) are `None`.
    pub(crate) fn parse_rfc7239(node: &[u8]) -> Option<Self> {
        let colon = node.iter().rposition(|byte| *byte == b':');
        let obfuscated = colon.filter(|colon| is_obfuscated(&node[colon + 1..]));
        let node = &node[..obfuscated.unwrap_or(node.len())];
        let is_bare_v6 =
            node.first() != Some(&b'[') && node.iter().filter(|byte| **byte == b':').count() > 1;
        let parsed = Self::parse(node).filter(|_| !is_bare_v6)?;
        (obfuscated.is_none() || parsed.port.is_none()).then_some(parsed)
    }

    /// Reads `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`; a zone id (`fe80::1%eth0`) is dropped, for
    /// it means nothing on another machine. Anything else is `None`: names (`unknown`, `_hidden`), quotes,
    /// IPv4 with leading zeros (decimal to some readers and octal to others), port 0.
    ///
    /// IPv4-mapped addresses come out as IPv4.
    pub(crate) fn parse(element: &[u8]) -> Option<Self> {
        let text = str::from_utf8(element).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let port = match rest {
                "" => None,
                rest => Some(port_number(rest.strip_prefix(':')?.as_bytes())?),
            };
            return Some(Self {
                address: v6(address)?,
                port,
            });
        }
        match text.split_once(':') {
            None => Some(Self {
                address: v4(text)?,
                port: None,
            }),
            Some((address, port)) if !port.contains(':') => Some(Self {
                address: v4(address)?,
                port: Some(port_number(port.as_bytes())?),
            }),
            Some(_) => Some(Self {
                address: v6(text)?,
                port: None,
            }),
        }
    }
}

/// RFC 7239 §6.3: `obfnode = "_" 1*( ALPHA / DIGIT / "." / "_" / "-")`.
pub(crate) fn is_obfuscated(text: &[u8]) -> bool {
    match text {
        [b'_', rest @ ..] if !rest.is_empty() => rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)),
        _ => false,
    }
}

/// A port from 1 to 65535 in at most five digits.
pub(crate) fn port_number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let value = digits.iter().try_fold(0u32, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u32::from(digit - b'0'))
    })?;
    u16::try_from(value).ok().filter(|port| *port != 0)
}

fn v4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if is_zone(zone) => address,
        Some(_) => return None,
        None => text,
    };
    address
        .parse::<Ipv6Addr>()
        .ok()
        .map(|address| IpAddr::V6(address).to_canonical())
}

/// RFC 6874 §2: `ZoneID = 1*( unreserved / pct-encoded )`.
fn is_zone(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_common_form() {
        for (text, address, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("203.0.113.7:80", "203.0.113.7", Some(80)),
            ("255.255.255.255:65535", "255.255.255.255", Some(65535)),
            ("2001:db8::7", "2001:db8::7", None),
            ("2001:DB8::A", "2001:db8::a", None),
            ("::", "::", None),
            ("::1:80", "::1:80", None),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("[2001:db8::7]:443", "2001:db8::7", Some(443)),
            ("fe80::1%eth0", "fe80::1", None),
            ("fe80::1%25eth0", "fe80::1", None),
            ("[fe80::1%3]:80", "fe80::1", Some(80)),
            ("::ffff:203.0.113.7", "203.0.113.7", None),
            ("[::ffff:203.0.113.7]:8080", "203.0.113.7", Some(8080)),
        ] {
            let expected = Node {
                address: address.parse().unwrap(),
                port,
            };
            assert_eq!(Node::parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_not_guessed_at() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "\"203.0.113.7\"",
            "for=203.0.113.7",
            "203.0.113.7 198.51.100.23",
            "01.02.03.04",
            "1..2.3",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "16909060",
            "0x7f.0.0.1",
            "203.0.113.7:",
            "203.0.113.7:0",
            "203.0.113.7:65536",
            "203.0.113.7:+80",
            "203.0.113.7:000080",
            "203.0.113.7%eth0",
            "[203.0.113.7]:80",
            "[2001:db8::7",
            "[2001:db8::7]:",
            "[2001:db8::7]80",
            "[[::1]]",
            "2001:db8::7]",
            "fe80::1%",
            "fe80::1%a b",
            "fe80::1%eth0]",
            ":::",
            ":",
            "[]",
            "unix:",
        ] {
            assert_eq!(Node::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Node::parse(b"203.0.113.\xff"), None);
        assert_eq!(Node::parse(&[b'9'; 60_000]), None);
    }

    #[test]
    fn a_node_of_rfc_7239_is_stricter_about_ipv6_and_knows_hidden_ports() {
        for (text, address, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("203.0.113.7:80", "203.0.113.7", Some(80)),
            ("203.0.113.7:_p.1-x", "203.0.113.7", None),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("[2001:db8::7]:4711", "2001:db8::7", Some(4711)),
            ("[2001:db8::7]:_p", "2001:db8::7", None),
        ] {
            let expected = Node {
                address: address.parse().unwrap(),
                port,
            };
            let found = Node::parse_rfc7239(text.as_bytes());
            assert_eq!(found, Some(expected), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "unknown:80",
            "2001:db8::7",
            "::1:_p",
            "203.0.113.7:_",
            "203.0.113.7:_é",
            "[2001:db8::7",
            "203.0.113.7:80:_p",
            ":_p",
            "_",
        ] {
            assert_eq!(Node::parse_rfc7239(text.as_bytes()), None, "{text}");
        }
    }
}
