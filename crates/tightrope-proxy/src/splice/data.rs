//! A piece of a body.

use std::{fmt, sync::OnceLock};

use bytes::{Buf, Bytes};

use super::Filled;

/// A piece of a body: bytes, or as many in a pipe.
///
/// As a [`Buf`] it is one run of bytes. The first look at those of a pipe reads them, which costs what the pipe was to
/// save, and is otherwise the same; [`remaining`](Buf::remaining) is no such look.
pub struct SplicedData {
    /// Empty while there is a pipe.
    bytes: Bytes,
    /// In a box, as few are and all go through many layers.
    piped: Option<Box<Piped>>,
}

struct Piped {
    filled: Filled,
    /// What was in the pipe, once somebody looked.
    read: OnceLock<Bytes>,
}

// === impl SplicedData ===

impl SplicedData {
    pub(crate) fn piped(filled: Filled) -> Self {
        let read = OnceLock::new();
        Self {
            bytes: Bytes::new(),
            piped: Some(Box::new(Piped { filled, read })),
        }
    }

    /// How many bytes it is.
    pub(crate) fn len(&self) -> usize {
        self.piped
            .as_ref()
            .map_or(self.bytes.len(), |piped| piped.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pipe, where there is one that nobody looked into; or else the bytes.
    pub(crate) fn into_pipe(self) -> Result<Filled, Bytes> {
        match self.piped {
            Some(piped) if piped.read.get().is_none() => Ok(piped.filled),
            Some(piped) => Err(piped.into_bytes()),
            None => Err(self.bytes),
        }
    }

    /// The bytes, which are in no pipe any more.
    fn bytes(&mut self) -> &mut Bytes {
        if let Some(piped) = self.piped.take() {
            self.bytes = piped.into_bytes();
        }
        &mut self.bytes
    }
}

impl Buf for SplicedData {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        match &self.piped {
            Some(piped) => piped.read.get_or_init(|| piped.filled.read()),
            None => &self.bytes,
        }
    }

    fn advance(&mut self, count: usize) {
        self.bytes().advance(count);
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.bytes().copy_to_bytes(len)
    }
}

impl From<Bytes> for SplicedData {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, piped: None }
    }
}

impl From<SplicedData> for Bytes {
    fn from(data: SplicedData) -> Self {
        data.piped.map_or(data.bytes, |piped| piped.into_bytes())
    }
}

impl fmt::Debug for SplicedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplicedData")
            .field("len", &self.len())
            .field("is_piped", &self.piped.is_some())
            .finish_non_exhaustive()
    }
}

// === impl Piped ===

impl Piped {
    fn len(&self) -> usize {
        self.read
            .get()
            .map_or_else(|| self.filled.len(), Bytes::len)
    }

    fn into_bytes(self) -> Bytes {
        let read = self.read.into_inner();
        read.unwrap_or_else(|| self.filled.read())
    }
}
