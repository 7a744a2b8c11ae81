//! The line that begins a chunk.

use super::{
    field::{is_token, is_value},
    scanner::Refused,
};

/// `chunk-size [ chunk-ext ]` of RFC 9112 §7.1, without its line end.
#[derive(Debug, Default)]
pub(super) struct SizeLine {
    size: u64,
    digits: u8,
    at: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    /// After the size, a name or a value, where white space may stand before a semicolon.
    Space,
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
    /// Takes a byte that is no CR.
    pub(super) fn push(&mut self, byte: u8) -> Result<(), Refused> {
        use Place::{
            AfterQuoted, BeforeName, BeforeValue, Escaped, Name, NameSpace, Quoted, Size, Space,
            Token,
        };
        let is_space = matches!(byte, b' ' | b'\t');
        self.at = match self.at {
            Size if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                self.digits += 1;
                let size = self.size.checked_mul(16).and_then(|s| s.checked_add(digit));
                let size = size.filter(|size| i64::try_from(*size).is_ok());
                self.size = size.filter(|_| self.digits <= MAX_DIGITS).ok_or(Refused)?;
                Size
            }
            Size if self.digits == 0 => return Err(Refused),
            Size | Space | Token | AfterQuoted if byte == b';' => BeforeName,
            Size | Space | Token | AfterQuoted if is_space => Space,
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
            _ => return Err(Refused),
        };
        Ok(())
    }

    /// The size of the chunk, once the line is over.
    pub(super) fn end(&self) -> Result<u64, Refused> {
        let may_end = match self.at {
            Place::Size => self.digits > 0,
            Place::Name | Place::Token | Place::AfterQuoted => true,
            _ => false,
        };
        may_end.then_some(self.size).ok_or(Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<u64, Refused> {
        let mut size = SizeLine::default();
        line.bytes().try_for_each(|byte| size.push(byte))?;
        size.end()
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
