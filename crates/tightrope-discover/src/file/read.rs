//! One reading of a file.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    str,
};

use tightrope_upstream::EndpointSpec;

use super::{FileError, FileSource, line};

/// What a reading found.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    TooLarge,
    Unreadable(io::Error),
}

/// Reads the file at `path`. Blocks.
pub(super) fn read(path: &Path) -> Content {
    read_bytes(path).unwrap_or_else(Content::Unreadable)
}

fn read_bytes(path: &Path) -> io::Result<Content> {
    // To open a pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    let limit = FileSource::MAX_BYTES;
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > limit {
        Content::TooLarge
    } else {
        Content::Bytes(bytes)
    })
}

// === impl Content ===

impl Content {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            (Self::TooLarge, Self::TooLarge) => true,
            (Self::Unreadable(one), Self::Unreadable(other)) => {
                one.kind() == other.kind() && one.raw_os_error() == other.raw_os_error()
            }
            _ => false,
        }
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<EndpointSpec>, FileError> {
        let path = || path.to_owned();
        match self {
            Self::Bytes(bytes) => {
                let text = str::from_utf8(bytes).map_err(|error| FileError::NotText {
                    path: path(),
                    line: 1 + bytes[..error.valid_up_to()]
                        .iter()
                        .filter(|&&b| b == b'\n')
                        .count(),
                })?;
                line::list(text).map_err(|error| FileError::Wrong {
                    path: path(),
                    error,
                })
            }
            Self::TooLarge => Err(FileError::TooLarge { path: path() }),
            Self::Unreadable(error) => Err(FileError::Unreadable {
                path: path(),
                // The original stays, to compare the next one with.
                error: io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }
}
