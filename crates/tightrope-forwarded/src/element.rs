//! The `Forwarded` field of RFC 7239: reading one element, and writing ours.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

use http::HeaderMap;

use crate::host::Host;
use crate::names::FORWARDED;
use crate::node::{Node, is_obfuscated};
use crate::parse::MAX_ELEMENTS;
use crate::{ByError, Scheme};

/// What an element of a `Forwarded` field says when the layer [writes one](crate::ForwardedLayer::with_forwarded).
///
/// `for` alone by default. An address is written without its port; IPv6 is bracketed and quoted, and who has no
/// address is `unknown`, as RFC 7239 §6 asks.
///
/// ```
/// use tightrope_forwarded::ForwardedElement;
///
/// let element = ForwardedElement::new().with_proto().with_host().with_by("_edge1")?;
/// // Forwarded: for="[2001:db8::7]";by=_edge1;host="app.test:8080";proto=https
/// assert!(ForwardedElement::new().with_by("edge1").is_err()); // a name starts with `_`
/// # let _ = element;
/// # Ok::<(), tightrope_forwarded::ByError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ForwardedElement {
    proto: bool,
    host: bool,
    by: Option<String>,
}

impl ForwardedElement {
    /// Says `for`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says `proto` too: what the one in `for` spoke.
    pub fn with_proto(mut self) -> Self {
        self.proto = true;
        self
    }

    /// Says `host` too: what the one in `for` asked for; left out if that is not known.
    pub fn with_host(mut self) -> Self {
        self.host = true;
        self
    }

    /// Says `by` too: who we are. An address with or without a port (IPv6 in brackets), or a name of our own that
    /// starts with `_` and goes on with letters, digits, `.`, `_` or `-`.
    ///
    /// # Errors
    ///
    /// When it is neither; the error names the text.
    pub fn with_by(mut self, by: &str) -> Result<Self, ByError> {
        if !is_obfuscated(by.as_bytes()) && Node::parse_rfc7239(by.as_bytes()).is_none() {
            return Err(ByError {
                value: by.to_owned(),
            });
        }
        self.by = Some(by.to_owned());
        Ok(self)
    }

    /// The element as text.
    pub(crate) fn write(
        &self,
        address: Option<IpAddr>,
        scheme: Scheme,
        host: Option<&Host>,
    ) -> String {
        let mut text = String::from("for=");
        // Writing to a `String` cannot fail.
        let _ = match address {
            Some(IpAddr::V4(address)) => write!(text, "{address}"),
            Some(IpAddr::V6(address)) => write!(text, "\"[{address}]\""),
            None => write!(text, "unknown"),
        };
        if let Some(by) = &self.by {
            pair(&mut text, "by", by);
        }
        if let Some(host) = host.filter(|_| self.host) {
            pair(&mut text, "host", host.as_str());
        }
        if self.proto {
            pair(&mut text, "proto", scheme.as_str());
        }
        text
    }
}

/// Neither a node nor a host holds a `"` or a `\`, so nothing has to be escaped.
fn pair(text: &mut String, name: &str, value: &str) {
    let quote = if value.bytes().all(is_token) {
        ""
    } else {
        "\""
    };
    let _ = write!(text, ";{name}={quote}{value}{quote}");
}

/// What an element that follows the grammar says of its sender.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Element<'a> {
    /// `None` if `for` is missing, `unknown` or a name.
    pub(crate) node: Option<Node>,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) host: Option<Cow<'a, [u8]>>,
}

impl<'a> Element<'a> {
    /// `None` for what does not follow RFC 7239 §4. Spaces around `;` are let pass, for some proxies write them.
    fn parse(mut text: &'a [u8]) -> Option<Self> {
        let mut element = Self::default();
        let mut seen = Seen::default();
        loop {
            text = text.trim_ascii_start();
            // RFC 7239 §4: `forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )`
            if !matches!(text.first(), None | Some(b';')) {
                let name_end = text
                    .iter()
                    .position(|byte| !is_token(*byte))
                    .filter(|end| *end > 0)?;
                let (name, rest) = text.split_at(name_end);
                let (value, rest) = value(rest.strip_prefix(b"=")?)?;
                seen.once(name)?;
                if name.eq_ignore_ascii_case(b"for") {
                    element.node = Node::parse_rfc7239(&value);
                } else if name.eq_ignore_ascii_case(b"proto") {
                    element.scheme = Scheme::parse(&value);
                } else if name.eq_ignore_ascii_case(b"host") {
                    element.host = Some(value);
                }
                text = rest.trim_ascii_start();
            }
            match text {
                [] => return Some(element),
                [b';', rest @ ..] => text = rest,
                _ => return None,
            }
        }
    }
}

/// RFC 7239 §4: each parameter must not occur more than once. Of those that mean nothing to us any number may.
#[derive(Default)]
struct Seen([bool; 4]);

impl Seen {
    fn once(&mut self, name: &[u8]) -> Option<()> {
        let names = ["for", "by", "proto", "host"];
        let known = names
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        let Some(known) = known else {
            return Some(());
        };
        (!std::mem::replace(&mut self.0[known], true)).then_some(())
    }
}

/// A token or a quoted string, and what stands behind it. Copied only where it holds a `\`.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text
            .iter()
            .position(|byte| !is_token(*byte))
            .unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (end > 0).then_some((Cow::Borrowed(token), rest));
    };
    let mut value = Cow::Borrowed(&quoted[..0]);
    let mut index = 0;
    loop {
        match *quoted.get(index)? {
            b'"' => return Some((value, &quoted[index + 1..])),
            b'\\' => {
                index += 1;
                value.to_mut().push(*quoted.get(index)?);
            }
            byte => match &mut value {
                Cow::Borrowed(value) => *value = &quoted[..=index],
                Cow::Owned(value) => value.push(byte),
            },
        }
        index += 1;
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The elements of `Forwarded` over all its lines, last line and last element first, without empty ones; `None` for
/// those that do not follow the grammar.
///
/// They are split from the right: what a client wrote to the left, a quote that never ends say, cannot change how
/// the elements are read that proxies added to it.
pub(crate) fn elements_from_right(
    headers: &HeaderMap,
) -> impl Iterator<Item = Option<Element<'_>>> {
    headers
        .get_all(&FORWARDED)
        .iter()
        .rev()
        .flat_map(|line| FromRight(Some(line.as_bytes())))
        .take(MAX_ELEMENTS)
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(Element::parse)
}

/// Splits at commas that are not inside quotes.
struct FromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.take()?;
        let mut in_quotes = false;
        let mut index = line.len();
        while index > 0 {
            index -= 1;
            match line[index] {
                b',' if !in_quotes => {
                    self.0 = Some(&line[..index]);
                    return Some(&line[index + 1..]);
                }
                b'"' if in_quotes => {
                    let before = &line[..index];
                    let escapes = before
                        .iter()
                        .rev()
                        .take_while(|byte| **byte == b'\\')
                        .count();
                    in_quotes = escapes % 2 == 1;
                    index -= escapes;
                }
                b'"' => in_quotes = true,
                _ => {}
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn node(address: &str, port: Option<u16>) -> Option<Node> {
        let address = address.parse().unwrap();
        Some(Node { address, port })
    }

    #[test]
    fn an_element_is_read_in_every_form_of_the_grammar() {
        for (text, expected) in [
            ("for=192.0.2.60", node("192.0.2.60", None)),
            ("FOR=\"192.0.2.60:80\"", node("192.0.2.60", Some(80))),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                node("2001:db8:cafe::17", Some(4711)),
            ),
            (
                "for=\"[2001:db8:cafe::17]\"",
                node("2001:db8:cafe::17", None),
            ),
            ("for=\"192.0.2.60:_p\"", node("192.0.2.60", None)),
            ("for=\"1\\92.0.2.60\"", node("192.0.2.60", None)),
            (";;for=192.0.2.60;", node("192.0.2.60", None)),
            (
                "proto=http ; for=192.0.2.60;x=\"a,b;c\\\"\"",
                node("192.0.2.60", None),
            ),
            ("for=unknown", None),
            ("for=_hidden", None),
            ("for=\"_SEVKISEK\"", None),
            ("for=\"\"", None),
            ("proto=https", None),
            ("by=203.0.113.43", None),
        ] {
            let element = Element::parse(text.as_bytes());
            assert_eq!(
                element.map(|element| element.node),
                Some(expected),
                "{text}"
            );
        }
        let all = "for=192.0.2.60;proto=HTTPS;by=203.0.113.43;host=\"app.test:80\"";
        let all = Element::parse(all.as_bytes()).unwrap();
        assert_eq!(all.scheme, Some(Scheme::Https));
        assert_eq!(all.host.as_deref(), Some(b"app.test:80".as_slice()));
    }

    #[test]
    fn what_is_not_an_element_is_not_guessed_at() {
        for text in [
            "for",
            "for=",
            "=192.0.2.60",
            "for =192.0.2.60",
            "for= 192.0.2.60",
            "192.0.2.60",
            "for=192.0.2.60:80",
            "for=[2001:db8::7]",
            "for=2001:db8::7",
            "for=\"192.0.2.60",
            "for=\"192.0.2.60\\",
            "for=192.0.2.60\"",
            "for=\"192.0.2.60\"x",
            "for=192.0.2.60 proto=http",
            "for=192.0.2.60;for=192.0.2.61",
            "for=192.0.2.60;proto=http;Proto=https",
            "for=192.0.2.60;x",
            "for=\u{e9}",
        ] {
            assert_eq!(Element::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn elements_are_split_from_the_right_whatever_stands_to_the_left() {
        let split = |line: &'static str| FromRight(Some(line.as_bytes())).collect::<Vec<_>>();
        assert_eq!(split("a,b"), [b"b", b"a"]);
        assert_eq!(split(""), [b""]);
        assert_eq!(
            split("x=\"a,b\\\",\",b"),
            [b"b".as_slice(), b"x=\"a,b\\\",\""]
        );
        assert_eq!(
            split("for=\", for=\"[::1]\""),
            [b" for=\"[::1]\"".as_slice(), b"for=\""]
        );
        assert_eq!(split("x=\"\\\\\",b"), [b"b".as_slice(), b"x=\"\\\\\""]);

        let mut headers = HeaderMap::new();
        for line in ["for=192.0.2.1", "", "for=\", for=\"[2001:db8::1]\", ,"] {
            headers.append(&FORWARDED, HeaderValue::from_static(line));
        }
        let nodes: Vec<_> = elements_from_right(&headers)
            .map(|element| element.map(|element| element.node))
            .collect();
        assert_eq!(
            nodes,
            [
                Some(node("2001:db8::1", None)),
                None,
                Some(node("192.0.2.1", None)),
            ]
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        let all = ForwardedElement::new()
            .with_proto()
            .with_host()
            .with_by("[2001:db8::1]:443")
            .unwrap();
        let host = Host::of_bytes(b"app.test:8080").unwrap();
        for address in ["192.0.2.1", "2001:db8::7"] {
            let address = address.parse().ok();
            let text = all.write(address, Scheme::Https, Some(&host));
            let read = Element::parse(text.as_bytes()).unwrap();
            assert_eq!(read.node.map(|node| node.address), address, "{text}");
            assert_eq!(read.scheme, Some(Scheme::Https));
            assert_eq!(read.host.as_deref(), Some(b"app.test:8080".as_slice()));
        }
        assert_eq!(
            all.write("2001:db8::7".parse().ok(), Scheme::Http, Some(&host)),
            "for=\"[2001:db8::7]\";by=\"[2001:db8::1]:443\";host=\"app.test:8080\";proto=http"
        );
        let least = ForwardedElement::new();
        assert_eq!(least.write(None, Scheme::Http, Some(&host)), "for=unknown");
    }

    #[test]
    fn who_we_are_is_an_address_or_a_name_of_our_own() {
        for by in ["_edge1", "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]"] {
            assert!(ForwardedElement::new().with_by(by).is_ok(), "{by}");
        }
        for by in ["", "edge1", "_", "_a b", "2001:db8::1", "_a\"b", "unknown"] {
            let error = ForwardedElement::new().with_by(by).unwrap_err();
            assert!(error.to_string().contains(&format!("`{by}`")), "{error}");
        }
    }
}
