//! Heads of requests.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE},
};
use httparse::{ParserConfig, Status};

use crate::{
    h1::{Chunked, Padding, Place, Position, ends_lines_whole, number, place_of},
    hop_by_hop::lists,
};

/// The head of a request, and what it says of its message and its connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) body: Body,
    /// Whether another request may follow.
    pub(super) is_persistent: bool,
    pub(super) expects_continue: bool,
    pub(super) asks_upgrade: bool,
}

/// What comes after a head.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Some(Position),
    /// Something that ends nobody knows where.
    Unknown,
}

/// What a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// Why what came is not a request that could be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is not valid")]
    Invalid,
    #[error("the head of the request is too large")]
    TooLarge,
    #[error("the target of the request is too long")]
    TargetTooLong,
    #[error("the head of the request did not come in time")]
    Late,
}

/// How many lines find room without asking for memory.
const FIELDS: usize = 100;

/// The most that `http` takes of a target.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// How many fields layers may add before the map must grow.
const ROOM: usize = 8;

/// What was found of the request line and the fields.
struct Found {
    length: usize,
    method: Method,
    target: [usize; 2],
    version: Version,
}

/// Takes a head from the front of `read`, once it is there as a whole. What is in `places` does not matter.
pub(super) fn take(
    read: &mut BytesMut,
    places: &mut Vec<Place>,
    limits: Limits,
) -> Result<Option<Head>, Refusal> {
    let found = if limits.fields <= FIELDS {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        find(read, &mut fields[..limits.fields], places)
    } else {
        let mut fields = vec![MaybeUninit::uninit(); limits.fields];
        find(read, &mut fields, places)
    };
    let Some(found) = found? else {
        return match read.len() > limits.bytes {
            true => Err(Refusal::TooLarge),
            false => Ok(None),
        };
    };
    if found.length > limits.bytes {
        return Err(Refusal::TooLarge);
    }
    let bytes = read.split_to(found.length).freeze();
    build(&bytes, found, places).map(Some)
}

fn find<'b>(
    read: &'b [u8],
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
    places: &mut Vec<Place>,
) -> Result<Option<Found>, Refusal> {
    let mut head = httparse::Request::new(&mut []);
    let config = ParserConfig::default();
    let parsed = config.parse_request_with_uninit_headers(&mut head, read, fields);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        // What is wrong already need not be waited for.
        Ok(Status::Partial) if !ends_lines_whole(read) => return Err(Refusal::Invalid),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Invalid),
    };
    let (Some(method), Some(target)) = (head.method, head.path) else {
        return Err(Refusal::Invalid);
    };
    if !ends_lines_whole(&read[..length]) || !is_target(target.as_bytes()) {
        return Err(Refusal::Invalid);
    }
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    let version = match head.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    places.clear();
    places.extend(head.headers.iter().map(|field| place_of(read, field)));
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Invalid)?;
    let start = target.as_ptr().addr() - read.as_ptr().addr();
    Ok(Some(Found {
        length,
        method,
        target: [start, start + target.len()],
        version,
    }))
}

/// RFC 9112 §3.2: no form of a target has a fragment, or anything but ASCII. No browser sends a backslash in a path, and
/// some servers take it for a slash.
fn is_target(target: &[u8]) -> bool {
    let mut is_query = false;
    target.iter().all(|byte| {
        is_query |= *byte == b'?';
        match byte {
            b'#' => false,
            b'\\' => is_query,
            byte => matches!(byte, 0x21..=0x7e),
        }
    })
}

fn build(bytes: &Bytes, found: Found, places: &[Place]) -> Result<Head, Refusal> {
    let is_http_11 = found.version == Version::HTTP_11;
    let [start, end] = found.target;
    let uri = Uri::from_maybe_shared(bytes.slice(start..end)).map_err(|_| Refusal::Invalid)?;
    let mut fields = HeaderMap::with_capacity(places.len() + ROOM);
    let (mut length, mut coding, mut closes, mut keeps) = (None, None, false, false);
    let (mut expects_continue, mut asks_upgrade) = (false, false);
    for &[name, name_end, value, value_end] in places {
        let name = HeaderName::from_bytes(&bytes[name..name_end]).map_err(|_| Refusal::Invalid)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value..value_end))
            .map_err(|_| Refusal::Invalid)?;
        if name == CONTENT_LENGTH {
            // RFC 9110 §8.6: several may be refused even where all are the same.
            let is_second = length.is_some();
            length = number(value.as_bytes()).filter(|_| !is_second);
            length.ok_or(Refusal::Invalid)?;
        } else if name == TRANSFER_ENCODING {
            let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            coding = Some(is_chunked && coding.is_none());
        } else if name == CONNECTION {
            closes |= lists(&value, b"close");
            keeps |= lists(&value, b"keep-alive");
        } else if name == EXPECT {
            expects_continue |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else if name == UPGRADE {
            asks_upgrade = true;
        }
        fields
            .try_append(name, value)
            .map_err(|_| Refusal::TooLarge)?;
    }
    let body = match (coding, length) {
        // RFC 9112 §6.1: might be an attempt at smuggling.
        (Some(_), Some(_)) => return Err(Refusal::Invalid),
        (Some(_), None) if !is_http_11 => return Err(Refusal::Invalid),
        (Some(false), None) => Body::Unknown,
        _ if found.method == Method::CONNECT => Body::Unknown,
        (Some(true), None) => Body::Some(Position::Chunked(Chunked::new(Padding::Refused))),
        (None, Some(length)) if length > 0 => Body::Some(Position::Length(length)),
        (None, _) => Body::None,
    };
    let mut request = Request::new(());
    *request.method_mut() = found.method;
    *request.uri_mut() = uri;
    *request.version_mut() = found.version;
    *request.headers_mut() = fields;
    Ok(Head {
        is_persistent: !closes && (is_http_11 || keeps) && !matches!(body, Body::Unknown),
        // RFC 9110 §10.1.1: ignored in HTTP/1.0, and where there is no body.
        expects_continue: expects_continue && is_http_11 && matches!(body, Body::Some(_)),
        asks_upgrade: asks_upgrade && is_http_11,
        request,
        body,
    })
}

// === impl Refusal ===

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }
}
