//! The line that begins a chunk.

use super::chunked::ChunkError;

/// `chunk-size [ chunk-ext ]` of RFC 9112 §7.1, without its line end.
#[derive(Debug, Default)]
pub(super) struct SizeLine {
    pub(super) size: u64,
    /// How long what comes after the size is.
    pub(super) extensions: usize,
    digits: u8,
    at: Place,
}

/// Whether white space may stand between a size and the end of its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Some servers write the size in a column.
    #[default]
    Allowed,
    /// From clients it is more likely to mean something else to whoever else reads it.
    Refused,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    /// After the size, where white space may stand before a semicolon.
    Space,
    /// The same after a value.
    AfterValue,
    /// After a name, where white space may also stand before an equals sign.
    NameSpace,
    BeforeName,
    Name,
    BeforeValue,
    Token,
    Quoted,
    Escaped,
    AfterQuoted,
}

/// More than any size that fits has, even with some zeros in front.
const MAX_DIGITS: u8 = 16;

impl SizeLine {
    pub(super) fn read(line: &[u8], padding: Padding) -> Result<Self, ChunkError> {
        let mut read = Self::default();
        for &byte in line {
            read.push(byte)?;
        }
        let may_end = match read.at {
            Place::Size => read.digits > 0,
            Place::Space => padding == Padding::Allowed,
            Place::Name | Place::Token | Place::AfterQuoted => true,
            _ => false,
        };
        may_end.then_some(read).ok_or(ChunkError::Size)
    }

    fn push(&mut self, byte: u8) -> Result<(), ChunkError> {
        use Place::{
            AfterQuoted, AfterValue, BeforeName, BeforeValue, Escaped, Name, NameSpace, Quoted,
            Size, Space, Token,
        };
        let is_space = matches!(byte, b' ' | b'\t');
        self.extensions += usize::from(!matches!(self.at, Size) || !byte.is_ascii_hexdigit());
        self.at = match self.at {
            Size if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                self.digits += 1;
                let size = self.size.checked_mul(16).and_then(|s| s.checked_add(digit));
                let size = size.filter(|size| i64::try_from(*size).is_ok());
                let size = size.filter(|_| self.digits <= MAX_DIGITS);
                self.size = size.ok_or(ChunkError::Size)?;
                Size
            }
            Size if self.digits == 0 => return Err(ChunkError::Size),
            Size | Space | Token | AfterQuoted | AfterValue if byte == b';' => BeforeName,
            Size | Space if is_space => Space,
            Token | AfterQuoted | AfterValue if is_space => AfterValue,
            BeforeName if is_space => BeforeName,
            BeforeName | Name if is_token(byte) => Name,
            Name | NameSpace if byte == b';' => BeforeName,
            Name | NameSpace if byte == b'=' => BeforeValue,
            Name | NameSpace if is_space => NameSpace,
            BeforeValue if is_space => BeforeValue,
            BeforeValue if byte == b'"' => Quoted,
            BeforeValue | Token if is_token(byte) => Token,
            Quoted if byte == b'"' => AfterQuoted,
            Quoted if byte == b'\\' => Escaped,
            Quoted | Escaped if is_value(byte) => Quoted,
            _ => return Err(ChunkError::Extension),
        };
        Ok(())
    }
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
        )
}

/// RFC 9110 §5.5.
const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<u64, ChunkError> {
        SizeLine::read(line.as_bytes(), Padding::Refused).map(|line| line.size)
    }

    #[test]
    fn some_servers_write_the_size_in_a_column() {
        for line in ["5 ", "5\t", "5  "] {
            let size = SizeLine::read(line.as_bytes(), Padding::Allowed);
            assert_eq!(size.unwrap().size, 5, "{line:?}");
        }
    }

    #[test]
    fn sizes_are_hexadecimal_and_may_have_extensions() {
        for (line, size) in [
            ("0", 0),
            ("5", 5),
            ("aF", 0xaf),
            ("0000000000000005", 5),
            ("7fffffffffffffff", i64::MAX as u64),
            ("5;a", 5),
            ("5;a=b", 5),
            ("5 ; a = b ;c=\"d;\\\"e\"", 5),
            ("5;a;b", 5),
        ] {
            assert_eq!(read(line).ok(), Some(size), "{line}");
        }
    }

    #[test]
    fn what_two_servers_could_read_differently_is_no_size() {
        for line in [
            "",
            " 5",
            "5 ",
            "5\t",
            "+5",
            "-5",
            "0x5",
            "5h",
            "5,5",
            "5 5",
            "00000000000000005",
            "8000000000000000",
            "ffffffffffffffff",
            "10000000000000005",
            ";a",
            "5;",
            "5;=b",
            "5;a=",
            "5;a=\"b",
            "5;a=\"b\"c",
            "5;a b",
            "5;a\0",
            "5;a=\"\n\"",
            "5;a=\"\u{1}\"",
        ] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }
}
