//! The name that we write, and how a service is wrapped in it.

use std::sync::Arc;

use http::{HeaderValue, Version};
use tower_layer::Layer;

use super::Via;
use crate::PseudonymError;
use crate::element::is_token;

/// Adds a line `Via: 1.1 NAME` to each request, and refuses one that already has our name in its `Via`: it went
/// through this proxy before and would do so for ever.
///
/// Such a request does not reach the service inside; it ends in [`ViaError::Loop`](crate::ViaError::Loop), which is a
/// `508 Loop Detected` (RFC 5842 §7.2) to the client:
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response, StatusCode};
/// use tightrope_forwarded::{ViaError, ViaLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new()
///     .layer(ViaLayer::new("edge1")?)
///     .service(service_fn(async |request: Request<()>| {
///         Ok::<_, Infallible>(Response::new(format!("{:?}", request.headers()["via"])))
///     }));
///
/// let response = service.clone().oneshot(Request::new(())).await?;
/// assert_eq!(response.body(), r#""1.1 edge1""#);
/// let again = Request::get("/").header("via", "1.1 edge1, 1.1 other").body(())?;
/// let response = match service.oneshot(again).await {
///     Err(ViaError::Loop) => Response::builder().status(StatusCode::LOOP_DETECTED).body(String::new())?,
///     result => result?,
/// };
/// assert_eq!(response.status(), 508);
/// # Ok(())
/// # }
/// ```
///
/// Give every proxy a name of its own that clients cannot learn much from; two that share a name refuse what one
/// passes to the other. All `Via` lines are read, whoever sent them: a client that writes our name is refused, which
/// harms nobody else, and nothing that it writes can hide our name. Names are compared without regard to case.
///
/// Responses get no `Via`; RFC 9110 §7.6.3 asks it of a gateway for requests alone.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViaLayer {
    pub(super) name: Arc<Name>,
}

/// A pseudonym, and the lines that it makes by version.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    lines: [HeaderValue; 4],
}

impl ViaLayer {
    /// Writes this name: letters, digits and ``!#$%&'*+-.^_`|~``, at least one of them.
    ///
    /// # Errors
    ///
    /// When it holds anything else; the error names the text.
    pub fn new(pseudonym: &str) -> Result<Self, PseudonymError> {
        let refused = || PseudonymError {
            value: pseudonym.to_owned(),
        };
        // RFC 9110 §7.6.3: `pseudonym = token`
        if pseudonym.is_empty() || !pseudonym.bytes().all(is_token) {
            return Err(refused());
        }
        let line = |version| HeaderValue::try_from(format!("{version} {pseudonym}"));
        let (Ok(v1_0), Ok(v1_1), Ok(v2), Ok(v3)) =
            (line("1.0"), line("1.1"), line("2.0"), line("3.0"))
        else {
            return Err(refused());
        };
        Ok(Self {
            name: Arc::new(Name {
                text: pseudonym.to_owned(),
                lines: [v1_0, v1_1, v2, v3],
            }),
        })
    }
}

impl<S> Layer<S> for ViaLayer {
    type Service = Via<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Via::new(inner, Arc::clone(&self.name))
    }
}

impl Name {
    /// The line for a request that came in this version of HTTP.
    pub(super) fn line(&self, version: Version) -> HeaderValue {
        let index = match version {
            Version::HTTP_09 | Version::HTTP_10 => 0,
            Version::HTTP_2 => 2,
            Version::HTTP_3 => 3,
            _ => 1,
        };
        self.lines[index].clone()
    }

    /// Whether this name stands in a `Via` line, as `VERSION NAME` or `PROTOCOL/VERSION NAME`, with or without a port.
    ///
    /// A comma splits wherever it stands: a comment that never ends must not hide what stands behind it.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        line.split(|byte| *byte == b',').any(|element| {
            let mut words = element
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            let by = words.nth(1).unwrap_or_default();
            let name = by.split(|byte| *byte == b':').next().unwrap_or_default();
            name.eq_ignore_ascii_case(self.text.as_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_a_proxy_may_have_written_it() {
        let name = ViaLayer::new("edge1").unwrap().name;
        for line in [
            "1.1 edge1",
            "HTTP/1.1 Edge1:8080",
            "1.0 fred, 2.0\tedge1 (ours, 1.0)",
            "1.0 fred (a comment, 1.1 edge1",
            "\"\\,1.1 edge1",
            " 1.1  edge1 ",
        ] {
            assert!(name.is_in(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "edge1",
            "1.1 edge10",
            "1.1 edge",
            "1.1 fred edge1",
            "1.1 fred:edge1",
            ",,",
        ] {
            assert!(!name.is_in(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_name_is_a_token() {
        for text in ["", "a b", "a,b", "edge1:80", "(a)", "\u{e9}", "a\n"] {
            let error = ViaLayer::new(text).unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
