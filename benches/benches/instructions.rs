//! Picks to be counted in instructions, which do not depend on what else the machine does.
//!
//! Takes a strategy, a number of endpoints and a number of picks; without them it makes one pick
//! by each. Every pick ends well. In place of a strategy, `outcome/health` and the like make
//! attempts that somebody listens to, as the bench `outcome` does. Two runs under callgrind differ by
//! what their picks cost:
//!
//! ```text
//! cargo bench -p tightrope-benches --bench instructions --no-run
//! valgrind --tool=callgrind target/release/deps/instructions-* round_robin 100 1000
//! valgrind --tool=callgrind target/release/deps/instructions-* round_robin 100 2000
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{env, hint::black_box};

use tightrope_balance::Balance;
use tightrope_benches::{
    Make, STRATEGIES, context,
    outcome::{Attempts, LISTENERS, Listeners},
    upstream,
};
use tightrope_upstream::Outcome;

fn picks(make: Make, endpoints: u32, picks: u32) {
    let mut balance = Balance::new(&upstream(endpoints), make(), ()).with_seed(1);
    for n in 0..picks {
        let mut key = [0; 8];
        let mut pick = balance.pick(&context(n, &mut key)).unwrap();
        pick.set_outcome(Outcome::Success);
        drop(black_box(pick));
    }
}

fn attempts(listeners: Listeners, endpoints: u32, count: u32) {
    let attempts = Attempts::new(listeners, endpoints);
    let mut attempt = attempts.caller();
    (0..count).for_each(|_| attempt());
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [what, endpoints, count] => {
            let (endpoints, count) = (endpoints.parse().unwrap(), count.parse().unwrap());
            if let Some(who) = what.strip_prefix("outcome/") {
                let (_, listeners) = LISTENERS.iter().find(|(name, _)| *name == who).unwrap();
                return attempts(*listeners, endpoints, count);
            }
            let (_, make) = STRATEGIES.iter().find(|(name, _)| name == what).unwrap();
            picks(*make, endpoints, count);
        }
        _ => {
            STRATEGIES.iter().for_each(|(_, make)| picks(*make, 2, 1));
            LISTENERS.iter().for_each(|(_, who)| attempts(*who, 2, 1));
        }
    }
}
