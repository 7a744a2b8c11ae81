//! Comma-separated header fields, read from the side of the nearest proxy.

use http::{HeaderMap, HeaderName, HeaderValue};

/// How many list elements are looked at, empty ones included, counted from the right.
///
/// Far above any real chain of proxies; it bounds the work that one request can ask for.
pub(crate) const MAX_ELEMENTS: usize = 1024;

/// The elements of a field over all its lines, last line and last element first, trimmed, without empty ones.
///
/// RFC 9110 §5.3: several lines mean the same as one line that joins them with commas.
/// RFC 9110 §5.6.1.2: a recipient ignores empty list elements.
pub(crate) fn elements_from_right<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .take(MAX_ELEMENTS)
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The element that the nearest proxy wrote.
pub(crate) fn last_element<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    elements_from_right(headers, name).next()
}

/// All lines of a field and one more value, joined with `, ` into one line. `None` when there is nothing to join.
///
/// This is `$proxy_add_x_forwarded_for` of nginx: lines are copied as they are, and an empty one leaves its comma.
pub(crate) fn join_lines(
    headers: &HeaderMap,
    name: &HeaderName,
    last: &str,
) -> Option<HeaderValue> {
    if !headers.contains_key(name) {
        return (!last.is_empty())
            .then(|| HeaderValue::from_str(last).ok())
            .flatten();
    }
    let lines = || headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let all = || lines().chain((!last.is_empty()).then_some(last.as_bytes()));
    let length: usize = all().map(|line| line.len() + SEPARATOR.len()).sum();
    let mut joined = Vec::with_capacity(length.saturating_sub(SEPARATOR.len()));
    for (index, line) in all().enumerate() {
        if index > 0 {
            joined.extend_from_slice(SEPARATOR);
        }
        joined.extend_from_slice(line);
    }
    if joined.is_empty() {
        None
    } else {
        HeaderValue::try_from(joined).ok()
    }
}

const SEPARATOR: &[u8] = b", ";

#[cfg(test)]
mod tests {
    use super::*;

    static LIST: HeaderName = HeaderName::from_static("x-list");

    fn lines(values: &[&'static str]) -> HeaderMap {
        let value = |value: &&'static str| (LIST.clone(), HeaderValue::from_static(value));
        values.iter().map(value).collect()
    }

    #[test]
    fn elements_come_from_the_right_over_all_lines() {
        let headers = lines(&["a, b", "", "c,,\td ,", " , "]);
        let found: Vec<_> = elements_from_right(&headers, &LIST).collect();
        assert_eq!(found, [b"d", b"c", b"b", b"a"]);
        assert_eq!(last_element(&headers, &LIST), Some(b"d".as_slice()));
        assert_eq!(
            last_element(&headers, &HeaderName::from_static("x-other")),
            None
        );
    }

    #[test]
    fn empty_elements_count_towards_the_bound() {
        let mut headers = HeaderMap::new();
        let beyond = format!("a{}", ",".repeat(MAX_ELEMENTS));
        headers.insert(&LIST, beyond.parse().unwrap());
        assert_eq!(last_element(&headers, &LIST), None);
        let within = format!("a{}", ",".repeat(MAX_ELEMENTS - 1));
        headers.insert(&LIST, within.parse().unwrap());
        assert_eq!(last_element(&headers, &LIST), Some(b"a".as_slice()));
    }

    #[test]
    fn lines_are_joined_as_they_are() {
        let join = |values, last| join_lines(&lines(values), &LIST, last);
        assert_eq!(join(&["a,b", "", " c "], "d").unwrap(), "a,b, ,  c , d");
        assert_eq!(join(&[], "d").unwrap(), "d");
        assert_eq!(join(&["a", "b"], "").unwrap(), "a, b");
        assert_eq!(join(&[""], ""), None);
        assert_eq!(join(&[], ""), None);
    }
}
