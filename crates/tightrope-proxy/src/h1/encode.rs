//! Heads and bodies, as they go over the wire.

use http::{HeaderMap, HeaderName, request::Parts};

/// Writes the head. Its fields are framed by whoever made them.
pub(super) fn head(parts: &Parts, out: &mut Vec<u8>) {
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(&parts.headers, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the beginning of a chunk of this many bytes, which must not be none.
pub(crate) fn chunk_size(length: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = length >> (4 * place) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk.
pub(crate) fn last_chunk(trailers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    fields(trailers, out);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        field(name, value.as_bytes(), out);
    }
}

pub(crate) fn field(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request, header::HOST};

    use super::*;

    #[test]
    fn a_head_is_written_line_by_line() {
        let request = Request::options("*")
            .header(HOST, "a.test")
            .header("x-b", HeaderValue::from_bytes(b"\xff c").unwrap())
            .body(())
            .unwrap();
        let mut out = Vec::new();
        head(&request.into_parts().0, &mut out);
        let lines = b"OPTIONS * HTTP/1.1\r\nhost: a.test\r\nx-b: \xff c\r\n\r\n";
        assert_eq!(out, lines);
    }

    #[test]
    fn sizes_of_chunks_are_hexadecimal() {
        for (length, written) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabc_def0, "abcdef0\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ] {
            let mut out = Vec::new();
            chunk_size(length, &mut out);
            assert_eq!(out, written.as_bytes());
        }
    }
}
