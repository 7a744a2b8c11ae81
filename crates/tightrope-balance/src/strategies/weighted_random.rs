//! At random, by weight.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::draw::Draw;
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
struct WeightedRandomPicker(Option<Draw>);

impl WeightedRandom {
    /// The strategy.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Strategy for WeightedRandom {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(WeightedRandomPicker(Draw::new(&snapshot.ramped())))
    }
}

impl Picker for WeightedRandomPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        self.0.as_ref()?.one(context, random)
    }
}
