//! At random, by weight.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{alias::Alias, untried_from};
use crate::{Context, Picker, Random, Strategy};

/// At random, each as likely as its weight says.
///
/// Keeps no state that balancers would have to share, so many of them never march in step. A
/// short run is less even than a round robin; choose [`LeastRequest`](crate::LeastRequest) to look
/// at how busy endpoints are. Two draws a pick, 16 bytes an endpoint. Source: Walker's alias
/// method, in the linear form of Vose (1991).
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRandom {
    _private: (),
}

#[derive(Debug)]
struct WeightedRandomPicker {
    snapshot: Arc<Snapshot>,
    table: Option<Alias>,
}

/// How often a draw that hits an endpoint tried before is made anew.
const REDRAWS: usize = 8;

impl WeightedRandom {
    /// The strategy.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

/// Draws positions among the available, by weight; `None` where there are none.
pub(super) fn alias(snapshot: &Snapshot) -> Option<Alias> {
    let (members, available) = (snapshot.members(), snapshot.available());
    Alias::new(
        available
            .iter()
            .map(|&index| members[index as usize].weight().get()),
    )
}

impl Strategy for WeightedRandom {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(WeightedRandomPicker {
            table: alias(snapshot),
            snapshot: Arc::clone(snapshot),
        })
    }
}

impl Picker for WeightedRandomPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let table = self.table.as_ref()?;
        let mut position = 0;
        for _ in 0..REDRAWS {
            position = table.draw(random);
            let index = self.snapshot.available()[position] as usize;
            if !context.has_tried(&self.snapshot.members()[index]) {
                return Some(index);
            }
        }
        untried_from(&self.snapshot, context, position)
    }
}
