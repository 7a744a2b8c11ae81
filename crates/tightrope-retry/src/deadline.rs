//! What requests say of how long they are waited for, and what endpoints are told of it.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::{GrpcTimeout, policy::is_grpc};

/// Which fields of requests say how long their clients wait, and tell endpoints how much of that is
/// left. None by default.
///
/// A field that is heeded can only shorten the [time of a request]. Each attempt then carries what is
/// left of it: the field is written anew where it is in the request or the time is limited anyhow, and
/// rounded down. So a server behind can give up in time, and knows no more of its clients than the
/// proxy does. A field that cannot be read, or is there twice, says nothing: it is replaced where
/// something is known, and passed on where not, for the endpoint to judge. A time of 0 is over.
///
/// Fields that are not heeded are passed on as they are.
///
/// ```
/// use http::HeaderName;
/// use tightrope_retry::{Deadlines, RetryLayer};
///
/// let deadlines = Deadlines::new()
///     .with_grpc_timeout()
///     .with_milliseconds(HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))?;
/// let layer = RetryLayer::new().with_deadlines(deadlines);
/// # let _ = layer;
/// # Ok::<(), tightrope_retry::DeadlineError>(())
/// ```
///
/// [time of a request]: crate::RetryLayer::with_timeout
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Deadlines {
    is_grpc: bool,
    milliseconds: Option<HeaderName>,
}

/// A field that says something else than how long a client waits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no field for a number of milliseconds")]
pub struct DeadlineError {
    name: HeaderName,
}

static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

impl Deadlines {
    /// None.
    pub const fn new() -> Self {
        Self {
            is_grpc: false,
            milliseconds: None,
        }
    }

    /// `grpc-timeout`, of gRPC calls. Those that have none get one where their time is limited.
    pub const fn with_grpc_timeout(mut self) -> Self {
        self.is_grpc = true;
        self
    }

    /// The field `name`, of any request: a decimal number of milliseconds.
    ///
    /// # Errors
    /// It is `grpc-timeout`, or one of those that frame a message, say where it goes or belong to one
    /// connection.
    pub fn with_milliseconds(mut self, name: HeaderName) -> Result<Self, DeadlineError> {
        let others = [
            CONNECTION,
            CONTENT_LENGTH,
            HOST,
            TE,
            TRAILER,
            TRANSFER_ENCODING,
            UPGRADE,
        ];
        if name == GRPC_TIMEOUT || others.contains(&name) {
            return Err(DeadlineError { name });
        }
        self.milliseconds = Some(name);
        Ok(self)
    }

    pub(crate) const fn is_none(&self) -> bool {
        !self.is_grpc && self.milliseconds.is_none()
    }

    /// How long the client waits, as far as it says. Of two fields the shorter one counts.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        let grpc = (self.is_grpc && is_grpc(headers))
            .then(|| GrpcTimeout::parse(only(headers, &GRPC_TIMEOUT)?.as_bytes()))
            .flatten()
            .map(GrpcTimeout::duration);
        let name = self.milliseconds.as_ref();
        let other = name.and_then(|name| milliseconds(only(headers, name)?));
        [grpc, other].into_iter().flatten().min()
    }

    /// Tells who gets these headers that so much is `left`.
    pub(crate) fn write(&self, headers: &mut HeaderMap, left: Duration) {
        if self.is_grpc
            && is_grpc(headers)
            && let Ok(value) = HeaderValue::try_from(GrpcTimeout::new(left).to_string())
        {
            headers.insert(&GRPC_TIMEOUT, value);
        }
        if let Some(name) = &self.milliseconds {
            let number = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            headers.insert(name, number.into());
        }
    }
}

/// The value of a field that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn milliseconds(value: &HeaderValue) -> Option<Duration> {
    let digits = value.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More than fits is for ever.
    let number = value.to_str().ok()?.parse().unwrap_or(u64::MAX);
    Some(Duration::from_millis(number))
}
