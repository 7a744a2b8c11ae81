//! Heads of responses, as they go over the wire.

use http::{
    HeaderMap, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::ext::ReasonPhrase;

use crate::{
    h1::{Outbox, chunk_size, field, fields, last_chunk, number},
    hop_by_hop::lists,
    server::{
        ServeError, date,
        length::{Extent, extent},
    },
    splice::SplicedData,
};

/// What of a request matters for its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// Whether another request may follow.
    pub(super) is_persistent: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Nothing of it is written.
    None,
    /// So much is left.
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

// === impl Asked ===

impl Asked {
    /// Before any request.
    pub(super) const NOTHING: Self = Self {
        version: Version::HTTP_11,
        is_head: false,
        is_persistent: false,
    };

    pub(super) fn of<B>(request: &http::Request<B>, is_persistent: bool) -> Self {
        Self {
            version: request.version(),
            is_head: *request.method() == Method::HEAD,
            is_persistent,
        }
    }
}

// === impl Coding ===

impl Coding {
    /// Whether nothing may follow.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }

    /// Adds a piece of the body to what goes out.
    pub(super) fn put(&mut self, data: SplicedData, outbox: &mut Outbox) -> Result<(), ServeError> {
        if data.is_empty() {
            return Ok(());
        }
        let tail: &[u8] = match self {
            Self::None => return Ok(()),
            Self::Length(left) => {
                let rest = left.checked_sub(data.len() as u64);
                *left = rest.ok_or(ServeError::Length)?;
                b""
            }
            Self::Chunked => {
                chunk_size(data.len(), outbox.buffer());
                b"\r\n"
            }
            Self::Close => b"",
        };
        outbox.put(data, tail);
        Ok(())
    }

    /// Adds the end of the body to what goes out.
    pub(super) fn end(
        self,
        trailers: Option<HeaderMap>,
        outbox: &mut Outbox,
    ) -> Result<(), ServeError> {
        match self {
            Self::Length(1..) => Err(ServeError::Length),
            Self::None | Self::Length(0) | Self::Close => Ok(()),
            Self::Chunked => {
                match trailers {
                    None => outbox.put_last_chunk(),
                    // They come after what was written.
                    Some(trailers) => last_chunk(&trailers, outbox.buffer()),
                }
                Ok(())
            }
        }
    }
}

// === Heads ===

/// How long most heads are at most, with the small body that may go out with them.
const COMMON_HEAD: usize = 1024;

/// Writes the head of a response to what was `asked`, which says afterwards whether another request may follow.
pub(super) fn encode<B: Body>(
    response: &Response<B>,
    asked: &mut Asked,
    out: &mut Vec<u8>,
) -> Coding {
    let status = response.status();
    let is_switch = status == StatusCode::SWITCHING_PROTOCOLS;
    out.reserve(COMMON_HEAD);
    encode_status(response, out);
    let (mut length, mut has_date) = (None, false);
    for (name, value) in response.headers() {
        if name == CONTENT_LENGTH {
            // RFC 9110 §8.6: neither says anything where there can be no body.
            if is_switch || status == StatusCode::NO_CONTENT || length.is_some() {
                continue;
            }
            length = number(value.as_bytes());
            if length.is_none() {
                continue;
            }
        } else if name == TRANSFER_ENCODING {
            continue;
        } else if name == CONNECTION {
            if lists(value, b"close") {
                asked.is_persistent = false;
            }
            if !is_switch {
                continue;
            }
        } else if name == DATE {
            has_date = true;
        }
        field(name, value.as_bytes(), out);
    }
    let coding = coding(response, length, *asked, out);
    if coding == Coding::Close {
        asked.is_persistent = false;
    }
    if !is_switch {
        match (asked.is_persistent, asked.version) {
            (false, _) => out.extend_from_slice(b"connection: close\r\n"),
            (true, Version::HTTP_10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, _) => {}
        }
    }
    if !has_date && !is_switch {
        field(&DATE, date::now().as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
    coding
}

/// How the body goes out; writes the field that says so where the response has none.
fn coding<B: Body>(
    response: &Response<B>,
    length: Option<u64>,
    asked: Asked,
    out: &mut Vec<u8>,
) -> Coding {
    let extent = extent(response.status(), asked.is_head, length, response.body());
    if let (None, Extent::None(Some(told)) | Extent::Length(told)) = (length, extent) {
        field(&CONTENT_LENGTH, told.to_string().as_bytes(), out);
    }
    match extent {
        Extent::None(_) => Coding::None,
        Extent::Length(length) => Coding::Length(length),
        Extent::Unknown if asked.version == Version::HTTP_10 => Coding::Close,
        Extent::Unknown => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Coding::Chunked
        }
    }
}

fn encode_status<B>(response: &Response<B>, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = response.extensions().get::<ReasonPhrase>();
    let reason = match reason {
        None if status == StatusCode::OK => {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            return;
        }
        None => status.canonical_reason().unwrap_or_default().as_bytes(),
        Some(reason) => reason.as_bytes(),
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response.
pub(super) fn encode_interim(status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    encode_status(&response, out);
    fields(headers, out);
    out.extend_from_slice(b"\r\n");
}
