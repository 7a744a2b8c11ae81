//! The fields of the head before.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::head::{HeadError, Place, field_at};

/// The lines of the last head of a connection, and what was made of them.
///
/// An endpoint says most of them again each time. A line that is the same byte for byte, as the same line of the head, is
/// not read again; one that is not costs a copy of it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    bytes: Bytes,
    name: HeaderName,
    value: HeaderValue,
}

/// How many lines are kept, and how long each may be: so much of a connection is kept while it is idle.
const MAX_LINES: usize = 16;
const MAX_LINE: usize = 256;

impl Known {
    /// The field at `place` in `head`, which is line number `number` of it.
    pub(super) fn field(
        &mut self,
        head: &Bytes,
        place: Place,
        number: usize,
    ) -> Result<(HeaderName, HeaderValue), HeadError> {
        let [name, name_end, value, value_end] = place;
        let line = &head[name..value_end];
        if number >= MAX_LINES || line.len() > MAX_LINE {
            return field_at(head, place);
        }
        if let Some(known) = self.lines.get(number)
            && known.bytes == line
        {
            return Ok((known.name.clone(), known.value.clone()));
        }
        // Not a part of the head, which would be kept as a whole.
        let bytes = Bytes::copy_from_slice(line);
        let place = [0, name_end - name, value - name, value_end - name];
        let (name, value) = field_at(&bytes, place)?;
        let line = Line {
            bytes,
            name: name.clone(),
            value: value.clone(),
        };
        match self.lines.get_mut(number) {
            Some(known) => *known = line,
            None => self.lines.push(line),
        }
        Ok((name, value))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::h1::head;

    fn line() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "A", "date", "x-y"]);
        let value = prop::sample::select(vec!["", "1", "2", " 1", "\u{e9}"]);
        prop_oneof![
            9 => (name, value).prop_map(|(name, value)| format!("{name}:{value}\r\n")),
            1 => Just(format!("long: {}\r\n", "x".repeat(MAX_LINE))),
        ]
    }

    fn headers(head: &str, known: &mut Known) -> http::HeaderMap {
        let mut read = BytesMut::from(head);
        let response = head::take(&mut read, &mut Vec::new(), known).unwrap();
        response.unwrap().into_parts().0.headers
    }

    proptest! {
        #[test]
        fn what_is_known_changes_nothing(
            heads in prop::collection::vec(prop::collection::vec(line(), 0..20), 1..6)
        ) {
            let mut known = Known::default();
            for lines in heads {
                let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.concat());
                let fresh = headers(&head, &mut Known::default());
                prop_assert_eq!(headers(&head, &mut known), fresh);
                prop_assert!(known.lines.len() <= MAX_LINES);
            }
        }
    }

    #[test]
    fn a_head_is_not_kept() {
        let mut known = Known::default();
        for head in [
            "HTTP/1.1 200 OK\r\na: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: 1\r\n\r\n",
        ] {
            let mut read = BytesMut::from(head);
            let response = head::take(&mut read, &mut Vec::new(), &mut known).unwrap();
            drop(response);
            // All of its memory is here again.
            assert!(read.try_reclaim(head.len()));
        }
    }
}
