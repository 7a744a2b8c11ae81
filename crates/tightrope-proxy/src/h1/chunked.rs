//! The chunked transfer coding (RFC 9112 §7.1).

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{
    framing::take_part,
    head::{self, HeadError},
    size::{Padding, SizeLine},
};

/// Takes chunks off the front of what was read.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    padding: Padding,
    /// Of lines that begin a chunk, besides its size; so far.
    extensions: usize,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Decoded {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing before more is read.
    More,
}

/// What is not chunked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("chunk size is not valid")]
    Size,
    #[error("chunk extensions are too long or not valid")]
    Extension,
    #[error("chunk does not end where it says")]
    End,
    #[error("trailers are too long")]
    Trailers,
    #[error("trailers are not valid")]
    Trailer(#[source] HeadError),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the line that begins a chunk.
    #[default]
    Size,
    /// So much of a chunk is left.
    Data(u64),
    /// Before the end of a line after a chunk.
    Line,
    Trailers,
    End,
}

/// How long all extensions together may be: nobody uses them.
const MAX_EXTENSIONS: usize = 16 * 1024;

/// How long the trailers may be.
const MAX_TRAILERS: usize = 16 * 1024;

impl Chunked {
    /// Of a request or a response.
    pub(crate) fn new(padding: Padding) -> Self {
        Self {
            padding,
            ..Self::default()
        }
    }

    pub(crate) const fn is_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// What stands first in `read`, which is taken.
    pub(crate) fn decode(&mut self, read: &mut BytesMut) -> Result<Decoded, ChunkError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = read.iter().position(|&byte| byte == b'\n') else {
                        return match read.len() > MAX_EXTENSIONS {
                            true => Err(ChunkError::Extension),
                            false => Ok(Decoded::More),
                        };
                    };
                    let line = read.split_to(line + 1);
                    let line = line.strip_suffix(b"\r\n").ok_or(ChunkError::Size)?;
                    let line = SizeLine::read(line, self.padding)?;
                    self.extensions += line.extensions;
                    if self.extensions > MAX_EXTENSIONS {
                        return Err(ChunkError::Extension);
                    }
                    self.state = match line.size {
                        0 => State::Trailers,
                        size => State::Data(size),
                    };
                }
                State::Data(_) if read.is_empty() => return Ok(Decoded::More),
                State::Data(mut left) => {
                    let data = take_part(read, &mut left);
                    self.state = match left {
                        0 => State::Line,
                        left => State::Data(left),
                    };
                    return Ok(Decoded::Data(data));
                }
                State::Line => match read.get(..2) {
                    Some(b"\r\n") => {
                        let _line = read.split_to(2);
                        self.state = State::Size;
                    }
                    None if read.is_empty() || read[0] == b'\r' => return Ok(Decoded::More),
                    _ => return Err(ChunkError::End),
                },
                State::Trailers => {
                    let trailers = head::take_trailers(read).map_err(ChunkError::Trailer)?;
                    let Some(trailers) = trailers else {
                        return match read.len() > MAX_TRAILERS {
                            true => Err(ChunkError::Trailers),
                            false => Ok(Decoded::More),
                        };
                    };
                    self.state = State::End;
                    if !trailers.is_empty() {
                        return Ok(Decoded::Trailers(trailers));
                    }
                }
                State::End => return Ok(Decoded::End),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data, and the trailers as text, of what came in these pieces; how many bytes were left over.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<String>, bool, usize), ChunkError> {
        let (mut chunked, mut read) = (Chunked::default(), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), Vec::new());
        for piece in pieces {
            read.extend_from_slice(piece);
            loop {
                match chunked.decode(&mut read)? {
                    Decoded::Data(more) => data.extend_from_slice(&more),
                    Decoded::Trailers(fields) => {
                        trailers.extend(
                            fields
                                .iter()
                                .map(|(name, value)| format!("{name}: {value:?}")),
                        );
                    }
                    Decoded::End | Decoded::More => break,
                }
            }
        }
        Ok((data, trailers, chunked.is_end(), read.len()))
    }

    #[test]
    fn chunks_are_put_together() {
        let whole = b"3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nnext";
        let expected = (
            b"abc0123456789".to_vec(),
            vec!["x-sum: \"1\"".to_owned()],
            true,
            4,
        );
        assert_eq!(decode(&[whole]).unwrap(), expected);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn an_unfinished_body_is_not_at_its_end() {
        for part in [
            "",
            "3",
            "3\r",
            "3\r\n",
            "3\r\nab",
            "3\r\nabc\r",
            "0\r\n",
            "0\r\nx: 1\r\n",
        ] {
            let (_, _, is_end, _) = decode(&[part.as_bytes()]).unwrap();
            assert!(!is_end, "{part:?}");
        }
        assert_eq!(decode(&[b"0\r\n\r\n"]).unwrap(), (vec![], vec![], true, 0));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "0x1\r\n",
            "1\n",
            "1 2\r\n",
            "1\rx\r\n",
            "8000000000000000\r\n",
            "00000000000000001\r\n",
            "1;a\0\r\n",
            "1;a\rb\r\n",
            "1\r\nabc\r\n",
            "1\r\na\n",
            "1\r\na\r\r",
            "0\r\nbad name: 1\r\n\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\n\n",
        ] {
            assert!(decode(&[bad.as_bytes()]).is_err(), "{bad:?}");
        }
        let endless = |begin: &str| format!("{begin}{}", "a".repeat(MAX_EXTENSIONS + 1));
        for begin in ["1;", "0\r\nx: "] {
            assert!(decode(&[endless(begin).as_bytes()]).is_err(), "{begin:?}");
        }
        let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(17);
        assert!(decode(&[many.as_bytes()]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_was_cut_into_chunks_comes_out_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            pieces in 1..30_usize,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                super::super::encode::chunk_size(chunk.len(), &mut wire);
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            super::super::encode::last_chunk(&HeaderMap::new(), &mut wire);
            let pieces: Vec<&[u8]> = wire.chunks(pieces).collect();
            let (data, _, is_end, left) = decode(&pieces).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(is_end && left == 0);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _any = decode(&[&bytes]);
        }
    }
}
