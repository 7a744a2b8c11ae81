//! Memory for each connection, of one proxy after the other.

use std::{fmt, io, path::Path, str::FromStr};

use crate::{
    idle,
    program::Program,
    slow::{self, Protocol},
};

/// A proxy that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    name: String,
    command: Vec<String>,
}

/// Memory for each connection, or stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Each {
    bytes: u64,
}

/// Measures all of them under the same load, and prints a table.
pub(crate) async fn run(proxies: &[Proxy], idle: usize, slow: usize) -> io::Result<()> {
    let mut table = format!(
        "| KiB each | {idle} idle | {slow} slow readers, HTTP/1.1 | at the peak | {slow}, HTTP/2 | at the peak |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for proxy in proxies {
        eprintln!("{}", proxy.name);
        let program = Program::start(&proxy.command).await?;
        let mut cells = vec![idle::measure(&program, idle).await?];
        program.stop().await?;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            // Another process: what the one before it keeps is not to be used again.
            let program = Program::start(&proxy.command).await?;
            cells.extend(slow::measure(&program, slow, protocol).await?);
            program.stop().await?;
        }
        let cells: Vec<_> = cells.iter().map(Each::to_string).collect();
        table += &format!("| {} | {} |\n", proxy.name, cells.join(" | "));
    }
    eprint!("{table}");
    Ok(())
}

// === impl Proxy ===

impl Proxy {
    /// Its program gives it its name.
    pub(crate) fn new(command: Vec<String>) -> Self {
        let name = command.first().map(Path::new).and_then(Path::file_name);
        Self {
            name: name.unwrap_or_default().to_string_lossy().into_owned(),
            command,
        }
    }
}

impl FromStr for Proxy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, command) = text.split_once('=').ok_or("is not NAME=COMMAND")?;
        let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        match command.is_empty() {
            true => Err("names no command"),
            false => Ok(Self {
                name: name.to_owned(),
                command,
            }),
        }
    }
}

// === impl Each ===

impl Each {
    /// Of `count`, where there were `before` KiB and are `after`.
    pub(crate) const fn new(after: u64, before: u64, count: usize) -> Self {
        let bytes = after.saturating_sub(before) * 1024 / count as u64;
        Self { bytes }
    }
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.bytes % 1024 * 100 / 1024;
        write!(f, "{}.{hundredths:02}", self.bytes / 1024)
    }
}
