//! A list in a text file.

mod error;
mod line;
mod read;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tightrope_upstream::{EndpointSpec, NextList, Source, SourceError};
use tokio::time::{Instant, sleep_until};

use self::read::{Content, read};
pub use self::{
    error::{FileError, LineError, ListError},
    line::EndpointLine,
};

/// A list in a text file, an [`EndpointLine`] each line, that is given again whenever the content changes.
///
/// The file is read at every interval and compared with what it held before, so neither the clock of a file system
/// nor the way in which the file was written matters. Replace it by renaming a new one over it: one that is written
/// in place may be read half written. A reading costs what reading the file costs, on a thread of the runtime that
/// may block.
///
/// A file that is missing, that cannot be read, or that is wrong anywhere is an error, told once; the file is looked
/// at further on, and its content is given again when it is back, even if it is what it was.
///
/// ```
/// use tightrope_discover::FileSource;
///
/// let list = FileSource::parse("
///     ## the two in Frankfurt
///     10.0.0.1:8080 weight=2 meta.zone=fra
///     10.0.0.2:8080 meta.zone=fra  # half as large
/// ")?;
/// assert_eq!(list.len(), 2);
/// assert_eq!(list[0].metadata.get("zone"), Some("fra"));
///
/// let error = FileSource::parse("10.0.0.1:8080\n10.0.0.2:8080 weight=heavy").unwrap_err();
/// assert_eq!(error.to_string(), "line 2: weight `heavy` is not a whole number from 0 to 65535");
/// # Ok::<(), tightrope_discover::ListError>(())
/// ```
#[derive(Debug)]
#[must_use = "a source gives nothing until it is asked"]
pub struct FileSource {
    path: Arc<Path>,
    interval: Duration,
    /// When it is to be read next; `None` is at once.
    due: Option<Instant>,
    last: Option<Content>,
}

// === impl FileSource ===

impl FileSource {
    /// The largest file that is read: 64 MiB, enough for a million endpoints.
    pub const MAX_BYTES: u64 = 64 << 20;

    /// The list in the file at `path`, looked at every second.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            interval: Duration::from_secs(1),
            due: None,
            last: None,
        }
    }

    /// The time from the end of one reading to the next; default 1 s, at least 1 ms.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// The list that `text` stands for. An empty text is an empty list.
    ///
    /// # Errors
    /// A line is not an [`EndpointLine`], or has the id of an earlier one.
    pub fn parse(text: &str) -> Result<Vec<EndpointSpec>, ListError> {
        line::list(text)
    }

    /// What is new in the file.
    async fn changed(&mut self) -> Result<Vec<EndpointSpec>, FileError> {
        loop {
            if let Some(due) = self.due {
                sleep_until(due).await;
            }
            let path = Arc::clone(&self.path);
            let content = match tokio::task::spawn_blocking(move || read(&path)).await {
                Ok(content) => content,
                Err(stopped) => Content::Unreadable(std::io::Error::other(stopped)),
            };
            // No await from here on: what was read is given, or was given before.
            let now = Instant::now();
            self.due = Some(now.checked_add(self.interval).unwrap_or(now + FAR));
            let is_new = self
                .last
                .as_ref()
                .is_none_or(|last| !last.is_same(&content));
            let list = is_new.then(|| content.list(&self.path));
            self.last = Some(content);
            if let Some(list) = list {
                return list;
            }
        }
    }
}

impl Source for FileSource {
    fn next(&mut self) -> NextList<'_> {
        Box::pin(async { Some(self.changed().await.map_err(SourceError::from)) })
    }
}

/// As good as never, where an interval leads beyond what a clock can say.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
