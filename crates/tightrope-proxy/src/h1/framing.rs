//! How long the body of a response is.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Where the body of a response ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// A response whose head leaves open how long its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("response has an unknown transfer coding")]
    TransferEncoding,
    #[error("response has both Content-Length and Transfer-Encoding")]
    Both,
    #[error("response has an invalid or ambiguous Content-Length")]
    ContentLength,
}

impl Framing {
    /// Of a final response to a request with this method. Leaves one valid Content-Length, or none and the framing
    /// to the server.
    pub(crate) fn take(
        method: &Method,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Self, FramingError> {
        let (mut codings, mut lengths) = (0, 0);
        let mut is_chunked = true;
        let mut length = None;
        for (name, value) in &*headers {
            if *name == header::TRANSFER_ENCODING {
                codings += 1;
                is_chunked &= value.as_bytes().eq_ignore_ascii_case(b"chunked");
            } else if *name == header::CONTENT_LENGTH {
                lengths += 1;
                length = number(value.as_bytes());
            }
        }
        if codings > 0 {
            // RFC 9112 §6.1: no coding but chunked was asked for, and it is applied once.
            if codings > 1 || !is_chunked {
                return Err(FramingError::TransferEncoding);
            }
            // RFC 9112 §6.3: ought to be handled as an error.
            if lengths > 0 {
                return Err(FramingError::Both);
            }
            headers.remove(header::TRANSFER_ENCODING);
        }
        if lengths > 1 || (lengths == 1 && length.is_none()) {
            length = Some(join_lengths(headers)?);
        }
        let has_none = *method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        Ok(match length {
            _ if has_none => Self::Length(0),
            _ if codings > 0 => Self::Chunked,
            Some(length) => Self::Length(length),
            None => Self::Close,
        })
    }
}

/// Takes from `read` what is there of a part of which `left` bytes are to come.
pub(super) fn take_part(read: &mut BytesMut, left: &mut u64) -> Bytes {
    let here = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
    *left -= here as u64;
    read.split_to(here).freeze()
}

/// RFC 9112 §6.3: one number that stands there several times counts once.
fn join_lengths(headers: &mut HeaderMap) -> Result<u64, FramingError> {
    let mut lengths = headers
        .get_all(header::CONTENT_LENGTH)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii);
    let first = lengths.next().unwrap_or_default();
    let length = number(first).ok_or(FramingError::ContentLength)?;
    if !lengths.all(|length| length == first) {
        return Err(FramingError::ContentLength);
    }
    let value = HeaderValue::from_bytes(first).map_err(|_| FramingError::ContentLength)?;
    headers.insert(header::CONTENT_LENGTH, value);
    Ok(length)
}

/// RFC 9110 §8.6: digits alone, and no more than can be counted.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for digit in text {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(value)?;
    }
    (!text.is_empty() && number <= i64::MAX as u64).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        method: &Method,
        status: u16,
        fields: &[(&str, &str)],
    ) -> Result<Framing, FramingError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        Framing::take(method, StatusCode::from_u16(status).unwrap(), &mut headers)
    }

    fn get(fields: &[(&str, &str)]) -> Result<Framing, FramingError> {
        take(&Method::GET, 200, fields)
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        assert_eq!(get(&[("content-length", "007")]), Ok(Framing::Length(7)));
        assert_eq!(
            get(&[("transfer-encoding", "Chunked")]),
            Ok(Framing::Chunked)
        );
        assert_eq!(get(&[]), Ok(Framing::Close));
        let twice = [("content-length", "5, 5"), ("content-length", "5")];
        assert_eq!(get(&twice), Ok(Framing::Length(5)));
    }

    #[test]
    fn some_responses_have_none() {
        let length = [("content-length", "5")];
        let none = Ok(Framing::Length(0));
        assert_eq!(take(&Method::HEAD, 200, &length), none);
        assert_eq!(
            take(&Method::HEAD, 200, &[("transfer-encoding", "chunked")]),
            none
        );
        assert_eq!(take(&Method::GET, 204, &length), none);
        assert_eq!(take(&Method::GET, 304, &length), none);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for length in ["", "+5", "5x", "5 5", "5, 6", "-1", "9223372036854775808"] {
            let framing = get(&[("content-length", length)]);
            assert_eq!(framing, Err(FramingError::ContentLength), "{length}");
        }
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", ""] {
            let framing = get(&[("transfer-encoding", coding)]);
            assert_eq!(framing, Err(FramingError::TransferEncoding), "{coding}");
        }
        let both = [("transfer-encoding", "chunked"), ("content-length", "5")];
        assert_eq!(get(&both), Err(FramingError::Both));
    }
}
