//! Which requests may be sent again, and after what.

use std::{fmt, str::FromStr};

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
    request,
};
use tightrope_upstream::Failure;

/// Says which requests may be carried out twice, and which results are worth another attempt.
///
/// A request of which nothing was sent goes again whatever a policy says, and one that met a
/// [stale](Failure::Stale) connection or was [refused](Failure::Refused) within its body if it is repeatable.
///
/// [`RetryOn`] is the policy for most; one of your own may look at the whole head:
///
/// ```
/// use http::{HeaderMap, StatusCode, request};
/// use tightrope_retry::{Policy, RetryLayer, RetryOn};
/// use tightrope_upstream::Failure;
///
/// /// As the default, and everything that has a key by which the service knows repetitions.
/// #[derive(Clone)]
/// struct Keyed(RetryOn);
///
/// impl Policy for Keyed {
///     fn is_repeatable(&self, request: &request::Parts) -> bool {
///         request.headers.contains_key("idempotency-key") || self.0.is_repeatable(request)
///     }
///     fn retries_failure(&self, request: &request::Parts, failure: Failure) -> bool {
///         self.0.retries_failure(request, failure)
///     }
///     fn retries_response(
///         &self,
///         request: &request::Parts,
///         status: StatusCode,
///         headers: &HeaderMap,
///     ) -> bool {
///         self.0.retries_response(request, status, headers)
///     }
/// }
///
/// let layer = RetryLayer::new().with_policy(Keyed(RetryOn::default()));
/// ```
pub trait Policy {
    /// Whether carrying out the request twice does no more than carrying it out once.
    fn is_repeatable(&self, request: &request::Parts) -> bool;

    /// Whether `request`, which is repeatable and may have been sent, is to be sent again after
    /// `failure`.
    fn retries_failure(&self, request: &request::Parts, failure: Failure) -> bool;

    /// Whether `request`, which is repeatable, is to be sent again after a response with this
    /// head.
    fn retries_response(
        &self,
        request: &request::Parts,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool;
}

/// Sends idempotent requests again on chosen [`Condition`]s.
///
/// A request is repeatable if its method is idempotent by RFC 9110 §9.2.2: GET, HEAD, OPTIONS,
/// TRACE, PUT or DELETE. Others become so where they are [named](Self::with_method).
///
/// The default is [`Condition::DEFAULT`]: the endpoint ended the connection, kept silent, or said
/// itself that somebody else might do better. It is what nginx does with
/// `proxy_next_upstream error timeout http_502 http_503 http_504`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    conditions: Vec<Condition>,
    methods: Vec<Method>,
    repeats_grpc: bool,
}

/// A result after which another endpoint may do better.
///
/// Its text is `reset`, `head_timeout`, `invalid_response`, a status from `400` to `599`, or
/// `grpc_` and a code from 1 to 16.
///
/// ```
/// use http::StatusCode;
/// use tightrope_retry::Condition;
///
/// assert_eq!("503".parse(), Ok(Condition::Status(StatusCode::SERVICE_UNAVAILABLE)));
/// assert_eq!(Condition::Grpc(14).to_string(), "grpc_14");
/// assert!("timeout".parse::<Condition>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// The connection ended before the head of a response was complete.
    Reset,
    /// No response head came in time.
    HeadTimeout,
    /// What came is not a valid response.
    InvalidResponse,
    /// A response with this status.
    Status(StatusCode),
    /// A gRPC call that ended with this code in the head of its response, before any message; 14
    /// is `UNAVAILABLE`.
    Grpc(u8),
}

/// A text that is no [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{value}` is neither `reset`, `head_timeout` nor `invalid_response`, \
     a status from 400 to 599 or `grpc_` and a code from 1 to 16"
)]
pub struct ConditionError {
    value: String,
}

// === impl RetryOn ===

impl RetryOn {
    /// On these conditions and no others.
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self {
            conditions: conditions.into_iter().collect(),
            methods: Vec::new(),
            repeats_grpc: false,
        }
    }

    /// Requests with this method may be carried out twice as well. For POST that holds where the
    /// service knows a repetition when it sees one, and nowhere else.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// gRPC calls may be carried out twice as well, although their method is POST.
    #[must_use]
    pub const fn with_grpc_calls(mut self) -> Self {
        self.repeats_grpc = true;
        self
    }

    /// On what.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn is_on(&self, condition: Condition) -> bool {
        self.conditions.contains(&condition)
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self::new(Condition::DEFAULT)
    }
}

impl Policy for RetryOn {
    fn is_repeatable(&self, request: &request::Parts) -> bool {
        is_idempotent(&request.method)
            || self.methods.contains(&request.method)
            || (self.repeats_grpc && is_grpc(&request.headers))
    }

    fn retries_failure(&self, _: &request::Parts, failure: Failure) -> bool {
        match failure {
            Failure::Reset => self.is_on(Condition::Reset),
            Failure::HeadTimeout => self.is_on(Condition::HeadTimeout),
            Failure::Protocol => self.is_on(Condition::InvalidResponse),
            _ => false,
        }
    }

    fn retries_response(
        &self,
        _: &request::Parts,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool {
        if status == StatusCode::OK {
            return grpc_code(headers).is_some_and(|code| self.is_on(Condition::Grpc(code)));
        }
        self.is_on(Condition::Status(status))
    }
}

/// RFC 9110 §9.2.2.
const fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Whether these are the headers of a gRPC call or of the answer to one.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let rest = content_type.and_then(|value| value.strip_prefix(b"application/grpc"));
    // gRPC over HTTP/2, Requests: `application/grpc`, `+proto` and the like, parameters.
    rest.is_some_and(|rest| rest.first().is_none_or(|next| matches!(next, b'+' | b';')))
}

/// How a call ended that sent no message: its status is in the head then.
fn grpc_code(headers: &HeaderMap) -> Option<u8> {
    static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    let code = headers.get(&GRPC_STATUS).filter(|_| is_grpc(headers))?;
    code.to_str().ok()?.parse().ok()
}

// === impl Condition ===

impl Condition {
    /// Reset, head timeout, 502, 503, 504 and gRPC's `UNAVAILABLE`.
    pub const DEFAULT: [Self; 6] = [
        Self::Reset,
        Self::HeadTimeout,
        Self::Status(StatusCode::BAD_GATEWAY),
        Self::Status(StatusCode::SERVICE_UNAVAILABLE),
        Self::Status(StatusCode::GATEWAY_TIMEOUT),
        Self::Grpc(14),
    ];
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let code =
            |text: &str, most: u16| text.parse().ok().filter(|code| (1..=most).contains(code));
        let condition = match text {
            "reset" => Some(Self::Reset),
            "head_timeout" => Some(Self::HeadTimeout),
            "invalid_response" => Some(Self::InvalidResponse),
            _ => match text.strip_prefix("grpc_") {
                Some(number) => code(number, 16).map(|code| Self::Grpc(code as u8)),
                None => code(text, 599)
                    .filter(|&code| code >= 400)
                    .and_then(|code| StatusCode::from_u16(code).ok())
                    .map(Self::Status),
            },
        };
        condition.ok_or_else(|| ConditionError {
            value: text.to_owned(),
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("reset"),
            Self::HeadTimeout => f.write_str("head_timeout"),
            Self::InvalidResponse => f.write_str("invalid_response"),
            Self::Status(status) => write!(f, "{}", status.as_u16()),
            Self::Grpc(code) => write!(f, "grpc_{code}"),
        }
    }
}
