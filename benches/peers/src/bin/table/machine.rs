//! Where and when it was measured, and beside what.

use std::{fs, process::Command, thread};

const LOCK: &str = include_str!("../../../Cargo.lock");

/// What other programs do meanwhile.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(": "));
    model.map_or("unknown", |(_, model)| model).to_owned()
}

pub(crate) fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// The version of a dependency.
pub(crate) fn version(name: &str) -> &'static str {
    let (_, rest) = LOCK
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .unwrap();
    rest.split('"').next().unwrap()
}
