//! Which servers nginx counts as failed, so that what it chooses and tries next can be replayed.

use super::Server;

/// What nginx keeps of each server. Its clock counts whole seconds.
pub(super) struct Marks {
    servers: Vec<Mark>,
    pub(super) now: u64,
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
    pub(super) fn new(servers: &[Server]) -> Self {
        let mark = |server: &Server| Mark {
            most: server.max_fails.unwrap_or(1),
            timeout: server.fail_timeout.unwrap_or(10),
            fails: 0,
            failed_at: 0,
            checked_at: 0,
        };
        Self {
            servers: servers.iter().map(mark).collect(),
            now: START,
        }
    }

    pub(super) fn set_time(&mut self, seconds: u64) {
        self.now = START + seconds;
    }

    pub(super) fn is_failed(&self, server: usize) -> bool {
        let mark = &self.servers[server];
        mark.most > 0 && mark.fails >= mark.most && self.now - mark.checked_at <= mark.timeout
    }

    pub(super) fn chosen(&mut self, server: usize) {
        let (now, mark) = (self.now, &mut self.servers[server]);
        if now - mark.checked_at > mark.timeout {
            mark.checked_at = now;
        }
    }

    pub(super) fn ended(&mut self, server: usize, is_refused: bool) {
        let (now, mark) = (self.now, &mut self.servers[server]);
        if is_refused {
            mark.fails += 1;
            (mark.failed_at, mark.checked_at) = (now, now);
        } else if mark.failed_at < mark.checked_at {
            mark.fails = 0;
        }
    }
}
