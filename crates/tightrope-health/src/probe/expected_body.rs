//! What an answer must say.

#[cfg(feature = "regex")]
use super::Pattern;
use super::{ProbeError, excerpt::excerpt};

/// What the body of the answer must be, apart from white space before and after it. Bytes that are
/// not UTF-8 count as U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedBody {
    /// This and nothing else.
    Exact(String),
    /// This, somewhere in it.
    Contains(String),
    /// What this matches, somewhere in it.
    #[cfg(feature = "regex")]
    Matches(Pattern),
}

impl ExpectedBody {
    pub(super) fn judge(&self, body: &[u8]) -> Result<(), ProbeError> {
        let body = String::from_utf8_lossy(body);
        let body = body.trim();
        let (passes, verb, expected) = match self {
            Self::Exact(expected) => (body == expected.trim(), "is not", &**expected),
            Self::Contains(part) => (body.contains(&**part), "does not contain", &**part),
            #[cfg(feature = "regex")]
            Self::Matches(pattern) => (pattern.matches(body), "does not match", pattern.as_str()),
        };
        if passes {
            return Ok(());
        }
        let words = format!("body `{}` {verb} `{expected}`", excerpt(body));
        Err(ProbeError::Unexpected(words))
    }
}
