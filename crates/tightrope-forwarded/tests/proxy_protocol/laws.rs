//! What holds for the parser of PROXY headers whatever it is given.

use tightrope_forwarded::proxy_protocol::{Parsed, parse};

/// Checks all of it for `input`.
///
/// # Panics
/// Something does not hold.
pub(crate) fn check(input: &[u8]) {
    let parsed = parse(input);
    match parsed {
        Ok(Parsed::Complete { header, length }) => {
            assert!(length <= input.len());
            // What follows plays no part, and without the last byte it is not complete.
            assert_eq!(parse(&input[..length]), parsed);
            for end in 0..length.min(300) {
                incomplete(&input[..end], length);
            }
            incomplete(&input[..length - 1], length);
            // What was read can be written, and then says the same.
            let written = header.to_bytes();
            assert!(written.len() <= 107);
            let expected = Parsed::Complete {
                header,
                length: written.len(),
            };
            assert_eq!(parse(&written), Ok(expected));
        }
        Ok(Parsed::Incomplete { missing }) => assert!(missing > 0),
        Err(_) => {
            // It stays refused, whatever comes.
            let longer = [input, b"\r\n".as_slice()].concat();
            assert_eq!(parse(&longer).err(), parsed.err());
        }
        Ok(_) => {}
    }
}

/// Checks that `input` is the beginning of a header of `length` bytes.
fn incomplete(input: &[u8], length: usize) {
    match parse(input) {
        Ok(Parsed::Incomplete { missing }) => {
            assert!((1..=length - input.len()).contains(&missing), "{missing}");
        }
        other => panic!("{other:?} of {} bytes of {length}", input.len()),
    }
}
