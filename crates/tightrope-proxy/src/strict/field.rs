//! Field lines, and those that frame a message.

use super::scanner::Refused;

/// What the fields read so far say of the body.
#[derive(Debug, Default)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) coding: Option<Coding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Chunked,
    /// Another, or several: nobody here knows where such a body ends.
    Unknown,
}

/// The value that is being read.
#[derive(Debug)]
pub(super) enum Value {
    Length { number: Option<u64>, is_over: bool },
    Coding { matched: usize, is_over: bool },
    Other,
}

/// The first bytes of a name, in small letters.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: [u8; Self::MAX],
    length: usize,
}

const CHUNKED: &[u8] = b"chunked";

// === impl Name ===

impl Name {
    /// One more than the longest name that matters, `transfer-encoding`.
    const MAX: usize = 18;

    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) const fn push(&mut self, byte: u8) {
        if self.length < Self::MAX {
            self.bytes[self.length] = byte.to_ascii_lowercase();
            self.length += 1;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(Self::MAX - self.length) {
            self.push(*byte);
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

// === impl Value ===

impl Value {
    /// The value of the field called `name`.
    pub(super) fn of(name: &Name, framing: &Framing) -> Result<Self, Refused> {
        match name.as_bytes() {
            // RFC 9110 §8.6: may be refused even where all are the same.
            b"content-length" if framing.length.is_some() => Err(Refused),
            b"content-length" => Ok(Self::Length {
                number: None,
                is_over: false,
            }),
            b"transfer-encoding" => Ok(Self::Coding {
                matched: 0,
                is_over: false,
            }),
            _ => Ok(Self::Other),
        }
    }

    /// Takes a byte that may stand in a value.
    pub(super) fn push(&mut self, byte: u8) -> Result<(), Refused> {
        let is_space = matches!(byte, b' ' | b'\t');
        match self {
            Self::Other => {}
            Self::Length { number, is_over } => match (byte, &number) {
                (_, Some(_)) if is_space => *is_over = true,
                (_, None) if is_space => {}
                (b'0'..=b'9', _) if !*is_over => {
                    let digit = u64::from(byte - b'0');
                    let more = number.unwrap_or(0).checked_mul(10);
                    let more = more.and_then(|more| more.checked_add(digit));
                    let more = more.filter(|more| i64::try_from(*more).is_ok());
                    *number = Some(more.ok_or(Refused)?);
                }
                _ => return Err(Refused),
            },
            Self::Coding { matched, is_over } => match *matched {
                0 if is_space => {}
                CHUNKED_LENGTH if is_space => *is_over = true,
                at if !*is_over && CHUNKED.get(at) == Some(&byte.to_ascii_lowercase()) => {
                    *matched += 1;
                }
                _ => *matched = usize::MAX,
            },
        }
        Ok(())
    }

    /// The value is over.
    pub(super) fn end(&self, framing: &mut Framing) -> Result<(), Refused> {
        match self {
            Self::Other => {}
            Self::Length { number, .. } => framing.length = Some(number.ok_or(Refused)?),
            Self::Coding { matched, .. } => {
                let is_chunked = *matched == CHUNKED_LENGTH && framing.coding.is_none();
                framing.coding = Some(match is_chunked {
                    true => Coding::Chunked,
                    false => Coding::Unknown,
                });
            }
        }
        Ok(())
    }
}

const CHUNKED_LENGTH: usize = CHUNKED.len();

/// RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    TOKENS[byte as usize]
}

/// What [`is_token`] says of each byte.
const TOKENS: [bool; 256] = {
    let mut tokens = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        tokens[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    tokens
};

/// RFC 9110 §5.5.
pub(super) const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
