//! The proxy as a child process, and what the system says of it.

use std::{fs, io, process::Stdio, time::Duration};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::PROXY;

/// Killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
}

/// How long one that is stopped may take.
const STOP: Duration = Duration::from_secs(5);

/// As many files as this process may open, it and its children will.
pub(crate) fn raise_limit() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

// === impl Program ===

impl Program {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(command: &[String]) -> io::Result<Self> {
        // The one before may take a moment to end.
        while TcpStream::connect(PROXY).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
        let child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut program = Self { child };
        while TcpStream::connect(PROXY).await.is_err() {
            if let Some(status) = program.child.try_wait()? {
                return Err(io::Error::other(format!("the proxy ended: {status}")));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(program)
    }

    /// Resident memory of it and its children, in KiB.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        self.sum("VmRSS:")
    }

    /// The most that it was since the last [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak(&self) -> io::Result<u64> {
        self.sum("VmHWM:")
    }

    /// How many files it has open.
    pub(crate) fn files(&self) -> io::Result<usize> {
        let count = |id: &u32| Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count());
        self.processes().iter().map(count).sum()
    }

    pub(crate) fn forget_peak(&self) -> io::Result<()> {
        let forget = |id: &u32| fs::write(format!("/proc/{id}/clear_refs"), "5");
        self.processes().iter().try_for_each(forget)
    }

    /// Tells it to read its configuration again.
    pub(crate) fn reload(&self) -> io::Result<()> {
        self.signal(Signal::SIGHUP)
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.child.wait().await?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("the proxy ended: {status}"))),
        }
    }

    /// Tells it to end, however it does, and waits for it for a while: a child that is killed leaves its own behind.
    pub(crate) async fn stop(mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        // Whoever is slow is killed after that.
        let _late = timeout(STOP, self.child.wait()).await;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.child.id().unwrap_or_default();
        let id = i32::try_from(id).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }

    fn sum(&self, key: &str) -> io::Result<u64> {
        let of = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse::<u64>().ok())
                .ok_or_else(|| io::Error::other(format!("no {key} for process {id}")))
        };
        self.processes().iter().map(of).sum()
    }

    fn processes(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.child.id().into_iter().collect();
        let mut next = 0;
        while let Some(id) = all.get(next) {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            let children = children.unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
            next += 1;
        }
        all
    }
}
