//! Regular expressions for what an answer says.

use std::fmt;

/// A regular expression, in the syntax of the crate [`regex`](https://docs.rs/regex): it takes time in
/// proportion to what it is matched with, whatever the two are.
///
/// `^` and `$` stand for the ends of the whole text, unless it begins with `(?m)`. Two are equal that are
/// written alike.
///
/// ```
/// use tightrope_health::{ExpectedBody, HttpProbe, Pattern};
///
/// let pattern = Pattern::new(r#""status":\s*"(ok|degraded)""#)?;
/// let probe = HttpProbe::get("/health")?.with_body(ExpectedBody::Matches(pattern))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pattern(regex::Regex);

/// A text that is not a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a regular expression ({reason})")]
pub struct PatternError {
    pattern: String,
    reason: String,
}

// === impl Pattern ===

impl Pattern {
    /// What `pattern` says.
    ///
    /// # Errors
    /// It is not a regular expression, or would take more than 10 MiB when it is compiled.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let compiled = regex::Regex::new(pattern).map_err(|error| PatternError {
            pattern: pattern.to_owned(),
            reason: reason(&error.to_string()),
        });
        compiled.map(Self)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.as_str()).finish()
    }
}

/// What is wrong, told in several lines with a drawing, of which the last says it.
fn reason(words: &str) -> String {
    let last = words.lines().last().unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    last.trim_end_matches('.').to_lowercase()
}
