//! What came from elsewhere, in words for a log.

/// This many characters of an unexpected answer are told.
const LONGEST: usize = 64;

/// The beginning of `text`, in printable characters.
pub(super) fn excerpt(text: &str) -> String {
    let more = if text.chars().nth(LONGEST).is_some() {
        "..."
    } else {
        ""
    };
    let begin = text.chars().take(LONGEST).flat_map(char::escape_debug);
    begin.chain(more.chars()).collect()
}
