//! Values with something of the request in them.

use std::{fmt, str::FromStr};

use http::{HeaderName, HeaderValue, Request};
use tightrope_upstream::Endpoint;

use super::Subject;

/// The value of a header, with something of the request in it: `for={client_ip}; by=edge`.
///
/// | name | stands for |
/// | --- | --- |
/// | `{client_ip}` | the address of the client, from [`Facts`](super::Facts) |
/// | `{peer_addr}` | address and port at the other end of the connection, from `Facts` |
/// | `{scheme}` | `http` or `https`: from `Facts`, else of an absolute target |
/// | `{host}` | host and perhaps port that the client asked for, where it is valid |
/// | `{path}` | the path of the target as it reached the layer, without the query |
/// | `{endpoint}` | the id of the endpoint, where it is chosen already |
/// | `{request_id}` | what the request is called, from `Facts` |
/// | `{header:NAME}` | the first field of the request called `NAME` |
/// | `{{`, `}}` | a brace |
///
/// What is not known is empty, and white space at both ends is left out, as no header has any there
/// (RFC 9110 §5.5). A template says no value at all, rather than an empty one, where all
/// of it is empty. What it says is always fit for a header: control characters in the text are
/// refused when it is parsed, and no name stands for any.
///
/// ```
/// use http::Request;
/// use tightrope_proxy::rewrite::Template;
///
/// let template: Template = "{header:x-tenant}@{host}".parse()?;
/// let request = Request::get("/").header("host", "a.test").header("x-tenant", "7").body(())?;
/// assert_eq!(template.render(&request, None).unwrap(), "7@a.test");
/// assert!("{colour}".parse::<Template>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// No text is empty, and none follows another.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Value {
    ClientIp,
    PeerAddr,
    Scheme,
    Host,
    Path,
    Endpoint,
    RequestId,
    Header(HeaderName),
}

/// Why a text is not a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {reason} at byte {position}", text.escape_debug())]
pub struct TemplateError {
    text: String,
    position: usize,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("there is no value `{}`", .0.escape_debug())]
    Unknown(String),
    #[error("`{}` is not the name of a header", .0.escape_debug())]
    HeaderName(String),
    #[error("`{{` is not closed (`{{{{` stands for a brace)")]
    NotClosed,
    #[error("`}}` closes nothing (`}}}}` stands for a brace)")]
    NotOpened,
    #[error("there is a control character")]
    Control,
}

/// A template in which everything but the endpoint is filled in.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Endpoint,
}

// === impl Template ===

impl Template {
    /// What it says of `request`, and of `endpoint` where one is chosen. `None` where it says
    /// nothing.
    #[must_use]
    pub fn render<B>(
        &self,
        request: &Request<B>,
        endpoint: Option<&Endpoint>,
    ) -> Option<HeaderValue> {
        let endpoint = endpoint.map(|endpoint| endpoint.id().as_str());
        self.fill(&Subject::of(request)).value(endpoint)
    }

    /// Whether it has `{endpoint}` in it, which is known only once a balancer has chosen.
    #[must_use]
    pub fn names_endpoint(&self) -> bool {
        self.parts.contains(&Part::Value(Value::Endpoint))
    }

    pub(crate) fn fill(&self, subject: &Subject<'_>) -> Filled {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Value(Value::Endpoint) => {
                    pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    pieces.push(Piece::Endpoint);
                }
                Part::Value(value) => value.write(subject, &mut bytes),
            }
        }
        pieces.push(Piece::Bytes(bytes));
        Filled { pieces }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let fail = |position, reason| TemplateError {
            text: text.to_owned(),
            position,
            reason,
        };
        let is_control = |c: char| c.is_ascii_control() && c != '\t';
        if let Some(position) = text.find(is_control) {
            return Err(fail(position, Reason::Control));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut position = 0;
        while let Some(brace) = text[position..].find(['{', '}']) {
            let brace = position + brace;
            literal.push_str(&text[position..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                position = brace + 2;
                continue;
            }
            let Some(name) = rest.strip_prefix('{') else {
                return Err(fail(brace, Reason::NotOpened));
            };
            let end = name
                .find(['{', '}'])
                .filter(|&end| name[end..].starts_with('}'));
            let Some(end) = end else {
                return Err(fail(brace, Reason::NotClosed));
            };
            let value = Value::parse(&name[..end]).map_err(|reason| fail(brace, reason))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Value(value));
            position = brace + 1 + end + 1;
        }
        literal.push_str(&text[position..]);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                Part::Value(value) => write!(f, "{{{value}}}")?,
            }
        }
        Ok(())
    }
}

// === impl Value ===

impl Value {
    fn parse(name: &str) -> Result<Self, Reason> {
        Ok(match name {
            "client_ip" => Self::ClientIp,
            "peer_addr" => Self::PeerAddr,
            "scheme" => Self::Scheme,
            "host" => Self::Host,
            "path" => Self::Path,
            "endpoint" => Self::Endpoint,
            "request_id" => Self::RequestId,
            _ => match name.strip_prefix("header:") {
                Some(header) => match header.parse() {
                    Ok(header) => Self::Header(header),
                    Err(_) => return Err(Reason::HeaderName(header.to_owned())),
                },
                None => return Err(Reason::Unknown(name.to_owned())),
            },
        })
    }

    fn write(&self, subject: &Subject<'_>, out: &mut Vec<u8>) {
        fn display(value: Option<impl ToString>) -> Vec<u8> {
            value.map_or_else(Vec::new, |value| value.to_string().into_bytes())
        }
        match self {
            Self::ClientIp => out.extend(display(subject.client_ip())),
            Self::PeerAddr => out.extend(display(subject.peer_addr())),
            Self::Scheme => out.extend(display(subject.scheme())),
            Self::Host => out.extend(subject.host().unwrap_or_default().as_bytes()),
            Self::Path => out.extend(subject.target.path().as_bytes()),
            // Not known yet.
            Self::Endpoint => {}
            Self::RequestId => {
                out.extend(subject.request_id().map_or(&[][..], HeaderValue::as_bytes));
            }
            Self::Header(name) => {
                let value = subject.headers.get(name);
                out.extend(value.map_or(&[][..], HeaderValue::as_bytes));
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientIp => "client_ip",
            Self::PeerAddr => "peer_addr",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Path => "path",
            Self::Endpoint => "endpoint",
            Self::RequestId => "request_id",
            Self::Header(name) => return write!(f, "header:{name}"),
        })
    }
}

// === impl Filled ===

impl Filled {
    /// The whole value; `None` where it is empty.
    pub(crate) fn value(&self, endpoint: Option<&str>) -> Option<HeaderValue> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Endpoint => endpoint.unwrap_or_default().as_bytes(),
        });
        let value = pieces.collect::<Vec<_>>().concat();
        let value = value.trim_ascii();
        // An id of an endpoint may be any text.
        (!value.is_empty()).then(|| HeaderValue::from_bytes(value).ok())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rewrite::Facts;

    fn refusal(text: &str) -> String {
        text.parse::<Template>().unwrap_err().to_string()
    }

    #[test]
    fn every_name_is_filled_in() {
        let facts = Facts::new()
            .with_client_ip("203.0.113.7".parse().unwrap())
            .with_peer_addr("[::1]:4000".parse().unwrap())
            .with_scheme(http::uri::Scheme::HTTPS)
            .with_request_id(HeaderValue::from_static("r1"));
        let request = Request::get("/a%20b?c=d")
            .header("host", "a.test:81")
            .header("x-a", "1")
            .header("x-a", "2")
            .extension(facts)
            .body(())
            .unwrap();
        let text = "{client_ip} {peer_addr} {scheme} {host} {path} {request_id} {header:X-A} {{}}";
        let template: Template = text.parse().unwrap();
        assert_eq!(
            template.render(&request, None).unwrap(),
            "203.0.113.7 [::1]:4000 https a.test:81 /a%20b r1 1 {}"
        );
        let endpoint: Template = "<{endpoint}>".parse().unwrap();
        assert!(endpoint.names_endpoint() && !template.names_endpoint());
        let filled = endpoint.fill(&Subject::of(&request));
        assert_eq!(filled.value(Some("10.0.0.1:80")).unwrap(), "<10.0.0.1:80>");
        assert_eq!(filled.value(None).unwrap(), "<>");
        // Which no header can say.
        assert_eq!(filled.value(Some("a\r\nb: c")), None);
    }

    #[test]
    fn what_is_not_known_is_empty_and_nothing_is_no_value() {
        let request = Request::get("/").header("host", "a b").body(()).unwrap();
        for text in [
            "",
            "{client_ip}",
            "{host}{scheme}{request_id}",
            "{header:x} {peer_addr}",
        ] {
            let template: Template = text.parse().unwrap();
            assert_eq!(template.render(&request, None), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert_eq!(
            refusal("ab{colour}"),
            "`ab{colour}`: there is no value `colour` at byte 2"
        );
        assert!(refusal("a{").contains("is not closed (`{{` stands for a brace) at byte 1"));
        assert!(refusal("{host{path}").contains("is not closed"));
        assert!(refusal("{a\u{e9}").contains("at byte 0"));
        assert!(refusal("{{}").contains("`}` closes nothing (`}}` stands for a brace) at byte 2"));
        assert!(refusal("{header:a b}").contains("`a b` is not the name of a header at byte 0"));
        assert!(refusal("{header:}").contains("`` is not the name"));
        assert_eq!(
            refusal("a\r\nb"),
            "`a\\r\\nb`: there is a control character at byte 1"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_is_parsed_prints_the_same(text in any::<String>()) {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string(), text);
            }
        }

        #[test]
        fn pieces_of_templates_parse_print_and_render(
            pieces in prop::collection::vec(
                prop_oneof![
                    Just("{{".to_owned()), Just("}}".to_owned()), Just("{host}".to_owned()),
                    Just("{endpoint}".to_owned()), Just("{header:x-a}".to_owned()), "[ -z\u{e9}\t]{0,5}",
                ],
                0..8,
            ),
            header in prop::collection::vec(0x20_u8..0x7f, 0..8),
            endpoint in any::<String>(),
        ) {
            let text = pieces.concat();
            let template: Template = text.parse().unwrap();
            prop_assert_eq!(template.to_string(), text);
            prop_assert_eq!(&template.to_string().parse::<Template>().unwrap(), &template);
            let request = Request::get("/").header("x-a", header).body(()).unwrap();
            let value = template.fill(&Subject::of(&request)).value(Some(&endpoint));
            if let Some(value) = value {
                prop_assert!(!value.is_empty());
            }
        }
    }
}
