//! The program as a child process.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use http::Request;
use serde_json::Value;
use tightrope_test::{Answer, Client};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// The running proxy; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    proxy: SocketAddr,
    admin: Option<SocketAddr>,
}

/// Longer than anything takes on a busy machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

// === impl Program ===

impl Program {
    /// Starts it and waits until it accepts requests, and orders if `admin`.
    pub(crate) async fn start<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        admin: bool,
    ) -> Self {
        Self::run(command(arguments), admin).await
    }

    /// The same with a system that trusts these certificates and no others.
    pub(crate) async fn start_trusting<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        roots: &std::path::Path,
    ) -> Self {
        let mut command = command(arguments);
        command
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR");
        Self::run(command, false).await
    }

    /// The same with sockets that it is to listen on, from the process that starts it.
    pub(crate) async fn start_with_sockets<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        sockets: Vec<OwnedFd>,
    ) -> Self {
        let mut command = command(arguments);
        command.env("LISTEN_FDS", sockets.len().to_string());
        let mappings = (3..).zip(sockets);
        let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        let command_fds = command.as_std_mut().fd_mappings(mappings.collect());
        command_fds.unwrap();
        Self::run(command, false).await
    }

    async fn run(mut command: Command, admin: bool) -> Self {
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut program = Self {
            child,
            log,
            proxy: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: None,
        };
        program.proxy = program.address("accepting requests on http://").await;
        if admin {
            program.admin = Some(program.address("administration on http://").await);
        }
        program
    }

    /// Starts it and waits until its error log, this file, says that it accepts requests.
    pub(crate) async fn start_with_log<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        error_log: &std::path::Path,
    ) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = async {
            let said = || std::fs::read_to_string(error_log).unwrap_or_default();
            while !said().contains("accepting requests on") {
                tokio::task::yield_now().await;
            }
        };
        soon(started).await;
        Self {
            child,
            log,
            proxy: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: None,
        }
    }

    async fn address(&mut self, before: &str) -> SocketAddr {
        let line = self.says(before).await;
        line.split(before).nth(1).unwrap().parse().unwrap()
    }

    /// Waits for a line of its log with `text` in it.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        loop {
            let line = soon(self.log.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended without saying `{text}`"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Where it accepts requests.
    pub(crate) const fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// Asks for `path` on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        soon(get(self.proxy, path)).await
    }

    /// Asks the administration.
    pub(crate) async fn state(&self, path: &str) -> Value {
        let answer = soon(get(self.admin.unwrap(), path)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Gives the administration an order.
    pub(crate) async fn order(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.to_owned().into_bytes().into());
        let mut client = Client::connect(self.admin.unwrap()).await.unwrap();
        let response = soon(client.send(request.unwrap())).await.unwrap();
        let answer = soon(Answer::read(response)).await.unwrap();
        let value = serde_json::from_str(&answer.body).unwrap_or_default();
        (answer.status, value)
    }

    /// Sends it `signal`, as `kill` names it.
    pub(crate) async fn signal(&self, signal: &str) {
        kill(signal, self.id()).await;
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until nobody can write to its log any more.
    pub(crate) async fn says_no_more(&mut self) {
        while soon(self.log.next_line()).await.unwrap().is_some() {}
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ends(mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}

/// Runs it to its end. Gives the exit code and what it said on the standard error.
pub(crate) async fn refused<A: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> (Option<i32>, String) {
    let mut child = command(arguments).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    soon(stderr.read_to_string(&mut said)).await.unwrap();
    (soon(child.wait()).await.unwrap().code(), said)
}

/// Sends a process `signal`, as `kill` names it.
pub(crate) async fn kill(signal: &str, id: u32) {
    let id = id.to_string();
    let kill = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(soon(kill).await.unwrap().success());
}

fn command<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reverse-proxy"));
    command
        .args(arguments)
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(address).await.unwrap();
    client.get(path).await.unwrap()
}

/// What `future` gives, unless it takes for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// A port that nobody listens on, and another one each time. Not one of those that the system gives to whoever asks
/// for any: before the program listens on it a connection of another test might have it.
pub(crate) fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() % u32::from(COUNT);
    loop {
        // Relaxed: only that no two are the same matters.
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let offset = (start + u32::from(taken)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).map_err(io::Error::other)?;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_free) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file with `text` in it, which is gone with the folder.
pub(crate) fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}
