//! Which servers nginx counts as failed: its formula, as its source has it.

use super::{recording::Server, world::State};

/// What nginx keeps of each server. Its clock counts whole seconds.
pub(crate) struct Marks {
    servers: Vec<Mark>,
    now: u64,
}

struct Mark {
    /// 0: it never counts as failed.
    most: u32,
    timeout: u64,
    fails: u32,
    failed_at: u64,
    checked_at: u64,
}

/// Long after nginx started.
const START: u64 = 1_000;

impl Marks {
    pub(crate) fn new(servers: &[Server]) -> Self {
        let mark = |server: &Server| Mark {
            most: server.max_fails,
            timeout: server.fail_timeout,
            fails: 0,
            failed_at: 0,
            checked_at: 0,
        };
        Self {
            servers: servers.iter().map(mark).collect(),
            now: START,
        }
    }

    pub(crate) fn set_time(&mut self, second: u64) {
        self.now = START + second;
    }

    /// Who is out, and who has failed too often but may be chosen again to see.
    pub(crate) fn states(&self) -> Vec<State> {
        let state = |mark: &Mark| match mark {
            mark if mark.most == 0 || mark.fails < mark.most => State::In,
            mark if self.now - mark.checked_at <= mark.timeout => State::Out,
            _ => State::OnTrial,
        };
        self.servers.iter().map(state).collect()
    }

    pub(crate) fn chosen(&mut self, server: usize) {
        let (now, mark) = (self.now, &mut self.servers[server]);
        if now - mark.checked_at > mark.timeout {
            mark.checked_at = now;
        }
    }

    pub(crate) fn ended(&mut self, server: usize, is_refused: bool) {
        let (now, mark) = (self.now, &mut self.servers[server]);
        if is_refused {
            mark.fails += 1;
            (mark.failed_at, mark.checked_at) = (now, now);
        } else if mark.failed_at < mark.checked_at {
            mark.fails = 0;
        }
    }
}
