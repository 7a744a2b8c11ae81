//! Names with an underscore.

use http::{HeaderMap, HeaderName};

use crate::{RequestError, hop_by_hop};

/// What becomes of the header fields of a request that have an underscore in their name.
///
/// Servers that hand fields on as variables (CGI, WSGI, Rack, PHP) write an underscore for each
/// hyphen, so that they cannot tell `X_Forwarded_For`, which any client can send, from
/// `X-Forwarded-For`, which a proxy wrote. nginx drops such names and Apache does too; HAProxy and
/// Envoy pass them on unless they are told otherwise.
///
/// Trailer fields with such names are dropped whatever is chosen, and those of responses pass.
///
/// ```
/// use tightrope_proxy::{ForwardConfig, RequestError, Underscores};
///
/// let config = ForwardConfig::new().with_underscores(Underscores::Refuse);
/// # let _ = config;
/// let request = http::Request::get("/").header("x_forwarded_for", "127.0.0.1").body(())?;
/// let checked = Underscores::Refuse.check(request.headers());
/// assert_eq!(checked, Err(RequestError::Underscore));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Underscores {
    /// The default. The fields are dropped and the request is forwarded without them.
    #[default]
    Drop,
    /// The request is answered with 400: for applications that must not miss a field in silence.
    Refuse,
    /// The fields are passed on, for applications that are known to need them. Those that would
    /// read as a field that this crate writes or removes (`Content_Length`, `X_Forwarded_For`,
    /// `Proxy_Connection`) are dropped all the same. What else an application may take for the word
    /// of a proxy is removed by `tightrope-forwarded`, if it comes first.
    Pass,
}

impl Underscores {
    /// Checks that `headers` may be forwarded. Call it beside
    /// [`check_request`](crate::check_request); [`Forward`](crate::Forward) does both again.
    ///
    /// # Errors
    /// [`RequestError::Underscore`], with [`Refuse`](Self::Refuse) alone.
    pub fn check(self, headers: &HeaderMap) -> Result<(), RequestError> {
        let refused = self == Self::Refuse && headers.keys().any(has_underscore);
        (!refused).then_some(()).ok_or(RequestError::Underscore)
    }

    /// Whether the field must not be passed on.
    pub(crate) fn drops(self, name: &HeaderName) -> bool {
        has_underscore(name) && (self != Self::Pass || is_in_disguise(name))
    }
}

fn has_underscore(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    // Eight at a time; the last eight may be some of those before.
    let is_in = |part: &[u8; 8]| {
        part.iter()
            .fold(false, |found, &byte| found | (byte == b'_'))
    };
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().any(is_in) || is_in(last),
        None => bytes.contains(&b'_'),
    }
}

/// Whether the name is one of ours for whoever takes an underscore for a hyphen.
fn is_in_disguise(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    HeaderName::try_from(name).is_ok_and(|name| hop_by_hop::is_ours(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    #[test]
    fn names_with_underscores_are_dropped_unless_they_may_pass() {
        for text in [
            "x_foo",
            "_",
            "x-foo_bar",
            "content_length",
            "_5678901",
            "1234567_",
            "12345678_",
            "1_345678901234567",
        ] {
            assert!(Underscores::Drop.drops(&name(text)), "{text}");
            assert!(Underscores::Refuse.drops(&name(text)), "{text}");
        }
        for underscores in [Underscores::Drop, Underscores::Refuse, Underscores::Pass] {
            assert!(!underscores.drops(&name("x-foo")));
            assert!(!underscores.drops(&name("content-length")));
        }
        assert!(!Underscores::Pass.drops(&name("x_foo")));
    }

    #[test]
    fn what_reads_as_a_field_of_ours_never_passes() {
        for text in [
            "content_length",
            "transfer_encoding",
            "x_forwarded_for",
            "x-forwarded_proto",
            "x_forwarded-anything",
            "x_real_ip",
            "keep_alive",
            "proxy_connection",
            "proxy_authorization",
            "http2_settings",
            "max_forwards",
        ] {
            assert!(Underscores::Pass.drops(&name(text)), "{text}");
        }
    }

    #[test]
    fn only_a_refusal_is_an_error() {
        let mut headers = HeaderMap::new();
        assert_eq!(Underscores::Refuse.check(&headers), Ok(()));
        headers.insert(name("x_foo"), "1".parse().unwrap());
        assert_eq!(
            Underscores::Refuse.check(&headers),
            Err(RequestError::Underscore)
        );
        assert_eq!(Underscores::Drop.check(&headers), Ok(()));
        assert_eq!(Underscores::Pass.check(&headers), Ok(()));
    }
}
