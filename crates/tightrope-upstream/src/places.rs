//! How many places are taken, and whether one more may be.

use crate::sync::{AtomicUsize, Ordering};

/// The places of an endpoint or an upstream: how many are taken, and what keeps others from being
/// taken. One word, so that taking a place and learning that there is none to be had are one step.
pub(crate) struct Places {
    word: AtomicUsize,
}

/// What became of an attempt to take a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken.
    Yes,
    /// As many are taken as may be. Who gives the next one back finds that it [was
    /// wanted](Left::was_wanted).
    Full,
    /// None is to be had.
    Closed,
}

/// The word as it was before a change.
#[derive(Clone, Copy)]
pub(crate) struct Left(usize);

/// No place is to be had.
const CLOSED: usize = 1;
/// Only one is to be had.
const ON_TRIAL: usize = 2;
/// Somebody found all taken since one was last given back.
const WANTED: usize = 4;
/// One place that is taken. They are counted above the bits, which are cheap to test that way.
const ONE: usize = 8;

impl Places {
    pub(crate) fn closed() -> Self {
        Self {
            word: AtomicUsize::new(CLOSED),
        }
    }

    pub(crate) fn open_from_the_start() -> Self {
        Self {
            word: AtomicUsize::new(0),
        }
    }

    pub(crate) fn count(&self) -> usize {
        // Relaxed: a count to compare with others, which orders nothing.
        count(self.word.load(Ordering::Relaxed))
    }

    /// Whether fewer than `most` are taken, and than one on trial. For whom it is a matter of course
    /// that this may change at once.
    pub(crate) fn is_below(&self, most: usize) -> bool {
        is_below(self.word.load(Ordering::Relaxed), most)
    }

    /// Takes one, however many are taken.
    #[inline]
    pub(crate) fn take(&self) -> Result<(), Left> {
        // Acquire pairs with the release in `close`: who finds the endpoint closed also finds the
        // snapshot that was published before it was closed.
        let before = Left(self.word.fetch_add(ONE, Ordering::Acquire));
        if before.0 & (CLOSED | ON_TRIAL) == 0 {
            return Ok(());
        }
        Err(before)
    }

    /// Takes one if fewer than `most` are taken.
    pub(crate) fn take_within(&self, most: usize) -> Taken {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (next, taken) = if word & CLOSED != 0 {
                (word, Taken::Closed)
            } else if is_below(word, most) {
                (word + ONE, Taken::Yes)
            } else {
                (word | WANTED, Taken::Full)
            };
            // Never add and undo: a place that is taken for a moment would turn others away. A
            // read-modify-write even where nothing changes, for a load could be of a word from
            // before the last place was given back, and nobody would tell of that again. AcqRel: for
            // closed as above, and for full so that whoever gives a place back later sees all that
            // was done here before.
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return taken,
                Err(newer) => word = newer,
            }
        }
    }

    #[inline]
    pub(crate) fn give_back(&self) -> Left {
        // AcqRel pairs with the read-modify-writes in `peek` and `take_within`: one of the two comes
        // first, so either they see the place free or we see them.
        Left(self.word.fetch_sub(ONE, Ordering::AcqRel))
    }

    /// Takes the wish back of those who found all taken, who are to be told now.
    pub(crate) fn answer(&self) {
        self.word.fetch_and(!WANTED, Ordering::AcqRel);
    }

    /// The newest word, where a load could miss the last place that was given back.
    pub(crate) fn peek(&self) -> Left {
        Left(self.word.fetch_or(0, Ordering::AcqRel))
    }

    pub(crate) fn open(&self) -> Left {
        Left(self.word.fetch_and(!CLOSED, Ordering::AcqRel))
    }

    pub(crate) fn close(&self) {
        // Release pairs with the acquire in `take` and `take_within`.
        self.word.fetch_or(CLOSED, Ordering::Release);
    }

    /// From now on only one is to be had at a time.
    pub(crate) fn begin_trial(&self) {
        self.word.fetch_or(ON_TRIAL, Ordering::AcqRel);
    }

    pub(crate) fn end_trial(&self) -> Left {
        Left(self.word.fetch_and(!ON_TRIAL, Ordering::AcqRel))
    }
}

impl Left {
    pub(crate) const fn count(self) -> usize {
        count(self.0)
    }

    /// Whether one was taken, the last.
    #[inline]
    pub(crate) const fn was_last(self) -> bool {
        self.0 < 2 * ONE
    }

    #[inline]
    pub(crate) const fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    #[inline]
    pub(crate) const fn was_wanted(self) -> bool {
        self.0 & WANTED != 0
    }
}

const fn count(word: usize) -> usize {
    word / ONE
}

const fn is_below(word: usize, most: usize) -> bool {
    let most = if word & ON_TRIAL == 0 { most } else { 1 };
    count(word) < most
}
