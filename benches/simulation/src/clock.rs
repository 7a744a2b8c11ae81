//! The clock that the balancers read.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{runtime::Runtime, time};

/// tokio's clock, standing still but for what the simulation moves it.
#[derive(Debug)]
pub(crate) struct Clock {
    now_ns: u64,
}

impl Clock {
    /// Runs `simulation` with such a clock.
    pub(crate) fn run<T>(simulation: impl FnOnce(Self) -> T) -> T {
        let runtime: Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap_or_else(|error| panic!("no runtime to simulate in: {error}"));
        let _context = runtime.enter();
        simulation(Self { now_ns: 0 })
    }

    /// Moves it on to `at_ns`.
    pub(crate) fn advance_to(&mut self, at_ns: u64) {
        let by = at_ns.saturating_sub(self.now_ns);
        if by > 0 {
            self.now_ns = at_ns;
            // The clock moves when this is first polled; what follows would let timers fire, and
            // there are none.
            let moved = pin!(time::advance(Duration::from_nanos(by)));
            let _pending = moved.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
