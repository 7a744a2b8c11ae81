//! By a key of the user's choice, on a circle.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::places::TRIES;
use crate::{
    Context, Picker, Random, RoundRobin, Strategy,
    strategies::{
        hashing::{Ring, points},
        round_robin::RoundRobinPicker,
    },
};

/// nginx's `hash KEY consistent`, known as ketama: to the next point on a circle on which every
/// endpoint has points by its weight.
///
/// The key is what [`Context::with_key`] was given. When somebody leaves or becomes unavailable only
/// its keys move, each to the owner of the next point.
///
/// An endpoint is known by its id, which stands for the name of the server as it is written in the
/// configuration of nginx: `10.0.0.1:8080`, `app1`, `unix:/run/app.sock`. The default id, the text of
/// the address, fits where nginx has addresses with ports; give other ones where it has names.
/// A name that stands for several addresses is not known here.
///
/// A request without a key, or with an empty one, goes by turns, as do those whose next 21 points
/// all belong to somebody unavailable. One hash and two looks a pick; 160 points for each unit of
/// weight, 9 bytes each. Beyond 2,097,152 points everybody gets fewer in proportion, and keys no
/// longer go where nginx would send them. Source: `hash ... consistent` of nginx 1.22.1, which
/// follows the points of Cache::Memcached::Fast.
#[derive(Debug, Default)]
pub struct ConsistentHash {
    turns: RoundRobin,
    ring: Arc<Ring<u32>>,
    layout: u64,
}

#[derive(Debug)]
struct ConsistentHashPicker {
    snapshot: Arc<Snapshot>,
    ring: Arc<Ring<u32>>,
    turns: RoundRobinPicker,
}

/// The points for each unit of weight.
const EACH: u32 = 160;
/// The most points of all, as far as there are not more members than that.
const MOST: u64 = 1 << 21;

// === impl ConsistentHash ===

impl ConsistentHash {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for ConsistentHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        if self.layout != snapshot.layout_generation() {
            self.layout = snapshot.layout_generation();
            self.ring = Arc::new(ring(snapshot));
        }
        Box::new(ConsistentHashPicker {
            snapshot: Arc::clone(snapshot),
            ring: Arc::clone(&self.ring),
            turns: self.turns.picker(snapshot),
        })
    }
}

impl Picker for ConsistentHashPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let key = context.key().filter(|key| !key.is_empty());
        let found = key.and_then(|key| {
            let place = self.ring.at_or_after(crc32fast::hash(key));
            let mut owners = self.ring.from(place).take(TRIES + 1);
            owners.find(|&(_, owner)| {
                let index = owner as usize;
                self.snapshot.availability()[index].is_available()
                    && !context.has_tried(&self.snapshot.members()[index])
            })
        });
        match found {
            Some((_, owner)) => Some(owner as usize),
            None => self.turns.pick(context, random),
        }
    }
}

fn ring(snapshot: &Snapshot) -> Ring<u32> {
    let members = snapshot.members();
    let weight = |index: u32| members[index as usize].weight().get();
    let candidates = || snapshot.candidates().iter().copied();
    let total = candidates().map(|index| u64::from(weight(index))).sum();
    let weighted = candidates().filter(|&index| weight(index) > 0);
    let all = weighted.flat_map(|index| {
        let prefix = prefix(members[index as usize].id().as_str());
        let mut point = 0_u32;
        (0..points(weight(index), EACH, total, MOST)).map(move |_| {
            let mut hasher = prefix.clone();
            hasher.update(&point.to_le_bytes());
            point = hasher.finalize();
            (point, index)
        })
    });
    Ring::new(&all.collect::<Vec<_>>())
}

/// The checksum of what the points of a server begin with: its host, a zero byte and its port.
fn prefix(name: &str) -> crc32fast::Hasher {
    let unix = name
        .get(..5)
        .filter(|start| start.eq_ignore_ascii_case("unix:"));
    let (host, port) = if unix.is_some() {
        (&name[5..], "")
    } else {
        let split = name.rsplit_once(':');
        split
            .filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
            .unwrap_or((name, ""))
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(host.as_bytes());
    hasher.update(&[0]);
    hasher.update(port.as_bytes());
    hasher
}
