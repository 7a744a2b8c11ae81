//! Heads of responses.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;
use memchr::memchr_iter;

use super::known::Known;

/// The most fields of a head, or of a trailer section.
const MAX_FIELDS: usize = 100;

/// What is not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("head is not valid")]
    Syntax(#[from] httparse::Error),
    #[error("head has a status, a name or a value that is not valid")]
    Value,
}

/// Where a name and a value stand.
pub(crate) type Place = [usize; 4];

/// Takes a head from the front of `read`, once it is there as a whole. What is in `places` does not matter.
pub(super) fn take(
    read: &mut BytesMut,
    places: &mut Vec<Place>,
    known: &mut Known,
) -> Result<Option<Response<()>>, HeadError> {
    let (length, status, version, reason) = {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut []);
        let config = ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut head, read, &mut fields)?;
        let Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(HeadError::Value)?;
        let version = match head.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        let reason = head.reason.unwrap_or_default();
        let reason = (status.canonical_reason() != Some(reason) && !reason.is_empty())
            .then(|| Bytes::copy_from_slice(reason.as_bytes()));
        places.clear();
        places.extend(head.headers.iter().map(|field| place_of(read, field)));
        (length, status, version, reason)
    };
    let bytes = read.split_to(length).freeze();
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    let mut fields = HeaderMap::with_capacity(places.len());
    for (number, place) in places.iter().enumerate() {
        let (name, value) = known.field(&bytes, *place, number)?;
        fields.append(name, value);
    }
    *response.headers_mut() = fields;
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason).ok()) {
        response.extensions_mut().insert(reason);
    }
    Ok(Some(response))
}

/// Takes a trailer section from the front of `read`, once it is there as a whole.
pub(super) fn take_trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, HeadError> {
    let (length, places) = {
        let mut parsed = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let Status::Complete((length, parsed)) = httparse::parse_headers(read, &mut parsed)? else {
            return Ok(None);
        };
        if !ends_lines_whole(&read[..length]) {
            return Err(HeadError::Syntax(httparse::Error::NewLine));
        }
        let places: Vec<Place> = parsed.iter().map(|field| place_of(read, field)).collect();
        (length, places)
    };
    let bytes = read.split_to(length).freeze();
    fields(&bytes, &places).map(Some)
}

/// Whether each LF has a CR before it: httparse takes lines that end in LF alone.
pub(crate) fn ends_lines_whole(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).all(|at| at > 0 && head[at - 1] == b'\r')
}

/// `field` is a part of `read`.
pub(crate) fn place_of(read: &[u8], field: &httparse::Header<'_>) -> Place {
    let from = |part: &[u8]| part.as_ptr().addr() - read.as_ptr().addr();
    let (name, value) = (from(field.name.as_bytes()), from(field.value));
    [
        name,
        name + field.name.len(),
        value,
        value + field.value.len(),
    ]
}

fn fields(bytes: &Bytes, places: &[Place]) -> Result<HeaderMap, HeadError> {
    let mut fields = HeaderMap::with_capacity(places.len());
    for place in places {
        let (name, value) = field_at(bytes, *place)?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// The field at `place` in `bytes`.
pub(super) fn field_at(
    bytes: &Bytes,
    place: Place,
) -> Result<(HeaderName, HeaderValue), HeadError> {
    let [name, name_end, value, value_end] = place;
    let name = HeaderName::from_bytes(&bytes[name..name_end]).map_err(|_| HeadError::Value)?;
    let value = HeaderValue::from_maybe_shared(bytes.slice(value..value_end))
        .map_err(|_| HeadError::Value)?;
    Ok((name, value))
}
