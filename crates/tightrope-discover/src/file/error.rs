//! What can be wrong with a file.

use std::{io, path::PathBuf};

use tightrope_upstream::{AddressError, EndpointId, NameError, WeightError};

use super::FileSource;

/// Why there is no list in a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is missing, or cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is larger than [`FileSource::MAX_BYTES`].
    #[error("`{}` is larger than {} bytes", path.display(), FileSource::MAX_BYTES)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("`{}`, line {line}: not UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It is not a list of endpoints.
    #[error("`{}`, {error}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        error: ListError,
    },
}

/// A text that is not a list of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A line is not an endpoint.
    #[error("line {line}: {error}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// Two lines have the same id.
    #[error("line {line}: endpoint `{id}` is in line {first} already")]
    Duplicate {
        /// The second of them, from 1.
        line: usize,
        /// The first of them.
        first: usize,
        /// The id.
        id: EndpointId,
    },
}

/// A text that is not an [`EndpointLine`](crate::EndpointLine).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// There is nothing in it.
    #[error("no address")]
    Blank,
    /// It does not begin with an address.
    #[error(transparent)]
    Address(AddressError),
    /// The id or the group is not a name.
    #[error(transparent)]
    Name(NameError),
    /// The weight is not one.
    #[error(transparent)]
    Weight(WeightError),
    /// A word after the address is no setting.
    #[error("`{word}` is not id=ID, weight=NUMBER, group=GROUP or meta.KEY=VALUE")]
    Unknown {
        /// The word.
        word: String,
    },
    /// A setting is given twice.
    #[error("`{key}` is given twice")]
    Twice {
        /// Its key.
        key: String,
    },
}
