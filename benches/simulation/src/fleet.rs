//! The servers.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tightrope::{
    balance::{
        Random,
        prequal::{Meter, Metered, Report},
    },
    upstream::{Address, Endpoint, EndpointSpec},
};

use crate::workload::{ANTAGONISTS, MEAN_WORK_NS, WORKERS, slowness};

/// The servers, and what waits at each.
#[derive(Debug)]
pub(crate) struct Fleet {
    servers: Vec<Server>,
    pub(crate) seen: Arc<[Seen]>,
}

#[derive(Debug)]
struct Server {
    busy: usize,
    queue: VecDeque<u32>,
    disturbed: f64,
    /// What it tells probes.
    meter: Meter,
    /// The sum over time of how many requests are there.
    load: u128,
    since_ns: u64,
}

/// What only an oracle knows of a server.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests there or on their way to it.
    pub(crate) present: AtomicU32,
    /// How much slower it is right now, in thousandths.
    pub(crate) slowness: AtomicU32,
}

const FIRST_PORT: u16 = 1_000;

impl Fleet {
    pub(crate) fn new(count: usize) -> Self {
        let server = || Server {
            busy: 0,
            queue: VecDeque::new(),
            disturbed: 1.0,
            meter: Meter::new(),
            load: 0,
            since_ns: 0,
        };
        let fleet = Self {
            servers: (0..count).map(|_| server()).collect(),
            seen: (0..count).map(|_| Seen::default()).collect(),
        };
        (0..count).for_each(|server| fleet.show(server));
        fleet
    }

    /// A request is there: true if a worker takes it at once.
    pub(crate) fn arrive(&mut self, server: usize, request: u32, now_ns: u64) -> bool {
        let server = &mut self.servers[server];
        server.count(now_ns);
        let is_free = server.busy < WORKERS;
        if is_free {
            server.busy += 1;
        } else {
            server.queue.push_back(request);
        }
        is_free
    }

    /// The same, where the server answers probes.
    pub(crate) fn begin(&self, server: usize) -> Metered {
        self.servers[server].meter.begin()
    }

    /// What it tells a probe.
    pub(crate) fn report(&self, server: usize) -> Report {
        self.servers[server].meter.report()
    }

    /// A worker is done with a request.
    pub(crate) fn finish(&mut self, server: usize, now_ns: u64) {
        let server = &mut self.servers[server];
        server.count(now_ns);
        server.busy -= 1;
    }

    /// The next in the queue, for a worker that is free.
    pub(crate) fn dequeue(&mut self, server: usize, now_ns: u64) -> Option<u32> {
        let server = &mut self.servers[server];
        server.count(now_ns);
        let request = server.queue.pop_front()?;
        server.busy += 1;
        Some(request)
    }

    /// The worker that was to have a request has none: it was given up.
    pub(crate) fn skip(&mut self, server: usize) {
        self.servers[server].busy -= 1;
    }

    /// How long the work of a request takes that begins now.
    pub(crate) fn work_ns(&self, server: usize, random: &mut Random) -> u64 {
        let mean = MEAN_WORK_NS * slowness(server) * self.servers[server].disturbed;
        exponential(mean, random)
    }

    /// Draws anew how much others disturb it.
    pub(crate) fn disturb(&mut self, server: usize, random: &mut Random) {
        let mut left = unit(random);
        let disturbed = ANTAGONISTS.iter().find(|(share, _)| {
            left -= share;
            left < 0.0
        });
        self.servers[server].disturbed = disturbed.map_or(1.0, |&(_, slows)| slows);
        self.show(server);
    }

    /// Forgets the load so far.
    pub(crate) fn start_measuring(&mut self, now_ns: u64) {
        for server in &mut self.servers {
            server.load = 0;
            server.since_ns = now_ns;
        }
    }

    /// The requests at the most loaded server over those at an average one, by time.
    pub(crate) fn unevenness(&mut self, now_ns: u64) -> f64 {
        for server in &mut self.servers {
            server.count(now_ns);
        }
        let loads = self.servers.iter().map(|server| server.load as f64);
        let mean = loads.clone().sum::<f64>() / self.servers.len() as f64;
        loads.fold(0.0, f64::max) / mean
    }

    fn show(&self, server: usize) {
        let slowness = slowness(server) * self.servers[server].disturbed;
        let thousandths = (slowness * 1_000.0) as u32;
        self.seen[server]
            .slowness
            .store(thousandths, Ordering::Relaxed);
    }
}

impl Server {
    fn count(&mut self, now_ns: u64) {
        let present = (self.busy + self.queue.len()) as u128;
        self.load += present * u128::from(now_ns.saturating_sub(self.since_ns));
        self.since_ns = self.since_ns.max(now_ns);
    }
}

/// Where a server is.
pub(crate) fn spec(server: usize) -> EndpointSpec {
    let port = FIRST_PORT + server as u16;
    EndpointSpec::new(Address::Socket(SocketAddr::new(
        Ipv4Addr::LOCALHOST.into(),
        port,
    )))
}

/// Which server is there.
pub(crate) fn index(endpoint: &Endpoint) -> usize {
    match endpoint.address() {
        Address::Socket(address) => usize::from(address.port() - FIRST_PORT),
        other => panic!("no server has the address {other}"),
    }
}

/// An exponentially distributed time.
pub(crate) fn exponential(mean_ns: f64, random: &mut Random) -> u64 {
    (-(1.0 - unit(random)).ln() * mean_ns) as u64
}

/// From 0 up to 1.
fn unit(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
