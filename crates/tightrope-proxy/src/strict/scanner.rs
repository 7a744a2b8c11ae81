//! The bytes of requests, one after the other.

use super::{
    field::{Coding, Framing, Name, Value, is_token, is_value},
    size::SizeLine,
};

/// Knows where in a request the next byte stands, and whether it may.
#[derive(Debug)]
pub(super) struct Scanner {
    at: Place,
    is_http_10: bool,
    is_connect: bool,
    is_trailer: bool,
    framing: Framing,
    /// Of the method, or of a field.
    name: Name,
}

/// The byte must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

#[derive(Debug)]
enum Place {
    /// Before a request, where empty lines may stand.
    Start,
    EmptyLine,
    Method,
    Target {
        is_begun: bool,
        is_query: bool,
    },
    Version(usize),
    /// After the CR of a request line or of a field.
    LineEnd,
    /// At the beginning of a line of fields.
    Line,
    FieldName,
    FieldValue(Value),
    /// After the CR of the line that ends a head or the trailers.
    HeadEnd,
    Body(u64),
    Size(SizeLine),
    SizeEnd(u64),
    Chunk(u64),
    ChunkCr,
    ChunkEnd,
    /// Nothing may come any more.
    Over,
}

const VERSION: &[u8] = b"HTTP/1.";

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            at: Place::Start,
            is_http_10: false,
            is_connect: false,
            is_trailer: false,
            framing: Framing::default(),
            name: Name::default(),
        }
    }

    pub(super) const fn is_between_requests(&self) -> bool {
        matches!(self.at, Place::Start)
    }

    /// Goes on with `bytes`. Where one must not pass, its index; nothing after that has a meaning.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok(passed) => done += passed,
                Err(Refused) => return Some(done),
            }
        }
        None
    }

    /// Takes the first byte of `rest`, and those after it that are sure to be no better or worse.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Refused> {
        let byte = rest[0];
        self.at = match &mut self.at {
            Place::Start => match byte {
                b'\r' => Place::EmptyLine,
                _ if is_token(byte) => {
                    self.name.clear();
                    self.name.push(byte);
                    Place::Method
                }
                _ => return Err(Refused),
            },
            // RFC 9112 §2.2: a server ignores an empty line before a request.
            Place::EmptyLine if byte == b'\n' => Place::Start,
            Place::Method if byte == b' ' => {
                self.is_connect = self.name.as_bytes() == b"connect";
                Place::Target {
                    is_begun: false,
                    is_query: false,
                }
            }
            Place::Method if is_token(byte) => {
                self.name.push(byte);
                Place::Method
            }
            Place::Target { is_begun: true, .. } if byte == b' ' => Place::Version(0),
            // As long as nothing special comes, all at once.
            Place::Target { is_begun: true, .. } if is_plain_target(byte) => {
                return Ok(run(rest, is_plain_target));
            }
            Place::Target { is_query, .. } => match byte {
                // RFC 9112 §3.2: no form of it has a fragment.
                b'#' => return Err(Refused),
                // No browser sends one, and some servers take it for a slash.
                b'\\' if !*is_query => return Err(Refused),
                0x21..=0x7e => Place::Target {
                    is_begun: true,
                    is_query: *is_query || byte == b'?',
                },
                _ => return Err(Refused),
            },
            Place::Version(0) if rest.starts_with(b"HTTP/1.1\r") => {
                self.is_http_10 = false;
                self.at = Place::LineEnd;
                return Ok(b"HTTP/1.1\r".len());
            }
            Place::Version(matched) => match byte {
                b'0' | b'1' if *matched == VERSION.len() => {
                    self.is_http_10 = byte == b'0';
                    Place::Version(*matched + 1)
                }
                b'\r' if *matched > VERSION.len() => Place::LineEnd,
                _ if VERSION.get(*matched) == Some(&byte) => Place::Version(*matched + 1),
                _ => return Err(Refused),
            },
            Place::LineEnd if byte == b'\n' => Place::Line,
            // RFC 9112 §5.2: white space here would be a line that goes on.
            Place::Line => match byte {
                b'\r' => Place::HeadEnd,
                _ if is_token(byte) => {
                    self.name.clear();
                    self.name.push(byte);
                    Place::FieldName
                }
                _ => return Err(Refused),
            },
            Place::FieldName => match byte {
                b':' if self.is_trailer => Place::FieldValue(Value::Other),
                b':' => Place::FieldValue(Value::of(&self.name, &self.framing)?),
                _ if is_token(byte) => {
                    let length = run(rest, is_token);
                    self.name.extend(&rest[..length]);
                    return Ok(length);
                }
                _ => return Err(Refused),
            },
            Place::FieldValue(value) => match byte {
                b'\r' => {
                    value.end(&mut self.framing)?;
                    Place::LineEnd
                }
                _ if !is_value(byte) => return Err(Refused),
                _ if matches!(value, Value::Other) => {
                    return Ok(run(rest, is_value));
                }
                _ => {
                    value.push(byte)?;
                    return Ok(1);
                }
            },
            Place::HeadEnd if byte == b'\n' => self.after_head()?,
            Place::Body(left) => {
                let passed = passed(*left, rest);
                *left -= passed as u64;
                if *left == 0 {
                    self.at = self.next_request();
                }
                return Ok(passed);
            }
            Place::Size(line) => match byte {
                b'\r' => Place::SizeEnd(line.end()?),
                _ => {
                    line.push(byte)?;
                    return Ok(1);
                }
            },
            Place::SizeEnd(0) if byte == b'\n' => {
                self.is_trailer = true;
                Place::Line
            }
            Place::SizeEnd(size) if byte == b'\n' => Place::Chunk(*size),
            Place::Chunk(left) => {
                let passed = passed(*left, rest);
                *left -= passed as u64;
                if *left == 0 {
                    self.at = Place::ChunkCr;
                }
                return Ok(passed);
            }
            Place::ChunkCr if byte == b'\r' => Place::ChunkEnd,
            Place::ChunkEnd if byte == b'\n' => Place::Size(SizeLine::default()),
            _ => return Err(Refused),
        };
        Ok(1)
    }

    fn after_head(&mut self) -> Result<Place, Refused> {
        if self.is_trailer {
            return Ok(self.next_request());
        }
        match (self.framing.coding, self.framing.length) {
            (Some(_), Some(_)) => Err(Refused),
            (Some(_), None) if self.is_http_10 => Err(Refused),
            (Some(Coding::Unknown), None) => Ok(Place::Over),
            _ if self.is_connect => Ok(Place::Over),
            (Some(Coding::Chunked), None) => Ok(Place::Size(SizeLine::default())),
            (None, Some(length)) if length > 0 => Ok(Place::Body(length)),
            (None, _) => Ok(self.next_request()),
        }
    }

    fn next_request(&mut self) -> Place {
        self.is_trailer = false;
        self.framing = Framing::default();
        Place::Start
    }
}

/// How many of the first bytes are of one kind.
fn run(rest: &[u8], is_of_kind: impl Fn(u8) -> bool) -> usize {
    let end = rest.iter().position(|&byte| !is_of_kind(byte));
    end.unwrap_or(rest.len())
}

/// What may stand in a target and means nothing to its form.
const fn is_plain_target(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'?' | b'\\')
}

/// How much of `rest` belongs to a body of which `left` bytes are to come.
fn passed(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))
}
