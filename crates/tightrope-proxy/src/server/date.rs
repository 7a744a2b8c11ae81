//! When a response was made.

use std::time::SystemTime;

use httpdate::HttpDate;

/// The value of `Date`, which whoever has a clock says (RFC 9110 §6.6.1).
pub(super) fn now() -> String {
    HttpDate::from(SystemTime::now()).to_string()
}
