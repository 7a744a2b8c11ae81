//! Where what goes wrong is written: the standard error, or a file.
//!
//! Lines are written by whoever has something to say, one call of the system each: they are few, and must be
//! there when the program ends badly.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::Arc,
};

use arc_swap::ArcSwapOption;

use crate::config;

/// The file, once the configuration names one. Global, as the subscriber of `tracing` is.
static FILE: ArcSwapOption<File> = ArcSwapOption::const_empty();

/// A log that can be opened, but is not written yet.
#[derive(Debug)]
pub(crate) struct ErrorLog {
    file: Option<File>,
}

/// What the subscriber writes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer;

impl ErrorLog {
    /// Opens what `config` names.
    pub(crate) fn open(config: &config::ErrorLog) -> io::Result<Self> {
        let file = match config {
            config::ErrorLog::Stderr => None,
            config::ErrorLog::File(path) => {
                Some(OpenOptions::new().append(true).create(true).open(path)?)
            }
        };
        Ok(Self { file })
    }

    /// All that is said from now on goes there.
    pub(crate) fn install(self) {
        FILE.store(self.file.map(Arc::new));
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*FILE.load() {
            Some(file) => (&**file).write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
