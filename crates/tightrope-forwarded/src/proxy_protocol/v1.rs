//! Version 1, a line of text.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::proxy_protocol::header::Content;
use crate::proxy_protocol::{Header, HeaderError, Parsed, Version, begins};

const PREFIX: &[u8] = b"PROXY ";

/// `PROXY UNKNOWN`, CR, LF.
pub(super) const SHORTEST: usize = 15;

/// §2.1: what a line can take, its end included.
const LONGEST: usize = 107;

pub(super) fn parse(input: &[u8]) -> Result<Parsed, HeaderError> {
    if !begins(input, PREFIX) {
        return Err(HeaderError::Missing);
    }
    let window = &input[..input.len().min(LONGEST)];
    // §2.1: "must wait for the CRLF sequence before starting to decode the addresses".
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return incomplete(input);
    };
    // §2.1: "must not tolerate a single CR or LF character to end the line".
    let Some(line) = input[..end].strip_suffix(b"\r") else {
        return Err(HeaderError::LineEnd);
    };
    let line = line.get(PREFIX.len()..).unwrap_or_default();
    Ok(Parsed::Complete {
        header: Header::with(Version::V1, content(line)?),
        length: end + 1,
    })
}

fn incomplete(input: &[u8]) -> Result<Parsed, HeaderError> {
    let line_end = if input.ends_with(b"\r") { 1 } else { 2 };
    // §2.1: "If the CRLF sequence is not found in the first 107 characters".
    if input.len() + line_end > LONGEST {
        return Err(HeaderError::TooLong);
    }
    let missing = shortest(input).saturating_sub(input.len()).max(line_end);
    Ok(Parsed::Incomplete { missing })
}

/// The length of the shortest line that begins like this one.
fn shortest(input: &[u8]) -> usize {
    if input.starts_with(b"PROXY TCP4 ") {
        b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".len()
    } else if input.starts_with(b"PROXY TCP6 ") {
        b"PROXY TCP6 :: :: 0 0\r\n".len()
    } else {
        SHORTEST
    }
}

/// Reads what stands between the prefix and the line end.
fn content(line: &[u8]) -> Result<Content, HeaderError> {
    // §2.1: "exactly one space" between each two. A second one makes an empty part, which nothing is.
    let mut parts = line.split(|byte| *byte == b' ');
    let protocol = parts.next().unwrap_or_default();
    match protocol {
        b"TCP4" => addresses::<Ipv4Addr>(parts),
        b"TCP6" => addresses::<Ipv6Addr>(parts),
        // §2.1: "the receiver must ignore anything presented before the CRLF".
        b"UNKNOWN" => Ok(Content::Unknown),
        _ => Err(refused("protocol", protocol)),
    }
}

fn addresses<'a, A>(mut parts: impl Iterator<Item = &'a [u8]>) -> Result<Content, HeaderError>
where
    A: FromStr,
    SocketAddr: From<(A, u16)>,
{
    let mut next = || parts.next().unwrap_or_default();
    let source = address::<A>("source address", next())?;
    let destination = address::<A>("destination address", next())?;
    let source_port = port("source port", next())?;
    let destination_port = port("destination port", next())?;
    if let Some(excess) = parts.next() {
        let value = excess.escape_ascii().to_string();
        return Err(HeaderError::Excess { value });
    }
    Ok(Content::Addresses {
        source: (source, source_port).into(),
        destination: (destination, destination_port).into(),
    })
}

/// §2.1: four numbers without leading zeros, or up to eight of hexadecimal digits; that is how the standard library
/// reads them too. It reads `::ffff:192.0.2.1` as well, which is how `inet_ntop`, and so HAProxy, writes it.
fn address<A: FromStr>(field: &'static str, part: &[u8]) -> Result<A, HeaderError> {
    let text = str::from_utf8(part).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| refused(field, part))
}

/// §2.1: a decimal number from 0 to 65535; "Heading zeroes are not permitted". The standard library would take `+80`.
fn port(field: &'static str, part: &[u8]) -> Result<u16, HeaderError> {
    let is_number =
        part.iter().all(u8::is_ascii_digit) && (part == b"0" || !part.starts_with(b"0"));
    let text = str::from_utf8(part).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| refused(field, part))
}

fn refused(field: &'static str, part: &[u8]) -> HeaderError {
    let value = part.escape_ascii().to_string();
    HeaderError::Field { field, value }
}

pub(super) fn write(content: Content) -> Vec<u8> {
    match content {
        Content::Local | Content::Unknown => b"PROXY UNKNOWN\r\n".to_vec(),
        Content::Addresses {
            source,
            destination,
        } => {
            let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let (from_port, to_port) = (source.port(), destination.port());
            format!("PROXY {protocol} {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::proxy_protocol::{HeaderError, Parsed, parse};

    fn source(line: &str) -> Option<String> {
        match parse(line.as_bytes()).unwrap() {
            Parsed::Complete { header, length } => {
                assert_eq!(length, line.len());
                header.source().map(|source| source.to_string())
            }
            Parsed::Incomplete { .. } => panic!("{line:?} is incomplete"),
        }
    }

    #[test]
    fn lines_of_the_specification_are_read() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (line, expected) in [
            (
                "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_owned(),
                Some("192.168.0.1:56324".to_owned()),
            ),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_owned(),
                Some("255.255.255.255:65535".to_owned()),
            ),
            (
                format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n"),
                Some(format!("[{longest}]:65535")),
            ),
            (
                "PROXY TCP6 2001:DB8::1 :: 0 1\r\n".to_owned(),
                Some("[2001:db8::1]:0".to_owned()),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_owned(),
                Some("[::ffff:192.0.2.1]:1".to_owned()),
            ),
            ("PROXY UNKNOWN\r\n".to_owned(), None),
            (
                format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n"),
                None,
            ),
            ("PROXY UNKNOWN  what\rever\r\n".to_owned(), None),
        ] {
            assert_eq!(source(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_the_specification_does_not_allow_is_refused() {
        for (line, words) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "LF without CR"),
            ("PROXY \r\n", "`` is not a protocol"),
            ("PROXY UNKNOWNS\r\n", "`UNKNOWNS` is not a protocol"),
            (
                "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
                "`tcp4` is not a protocol",
            ),
            (
                "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
                "`UDP4` is not a protocol",
            ),
            (
                "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
                "`` is not a protocol",
            ),
            ("PROXY TCP4\r\n", "`` is not a source address"),
            (
                "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
                "`192.0.2.01` is not a source address",
            ),
            (
                "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
                "`192.0.2` is not a source address",
            ),
            (
                "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
                "`2001:db8::1` is not a source address",
            ),
            (
                "PROXY TCP6 ::1 192.0.2.2 1 2\r\n",
                "`192.0.2.2` is not a destination address",
            ),
            (
                "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
                "`fe80::1%eth0` is not a source address",
            ),
            (
                "PROXY TCP6 ::1 ::1::1 1 2\r\n",
                "`::1::1` is not a destination address",
            ),
            (
                "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
                "`` is not a destination address",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
                "`01` is not a source port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
                "`+1` is not a source port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n",
                "`-2` is not a destination port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
                "`65536` is not a destination port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\t\r\n",
                r"`2\t` is not a destination port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
                "`` is not a destination port",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
                "`` stands behind the ports",
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
                "`3` stands behind the ports",
            ),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{line:?}: {error}");
        }
        for line in [
            "GET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\n",
            "PROXY\tTCP4",
            "proxy TCP4",
        ] {
            assert_eq!(
                parse(line.as_bytes()),
                Err(HeaderError::Missing),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(source(&line(107)), None);
        for line in [
            line(108),
            "PROXY TCP4 ".repeat(10),
            format!("PROXY {}\r", "x".repeat(101)),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(HeaderError::TooLong));
        }
    }
}
