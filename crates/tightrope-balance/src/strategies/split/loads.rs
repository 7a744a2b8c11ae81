//! How much of the traffic each priority gets.

use super::super::fail_open::Percent;

/// The endpoints of one priority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) available: usize,
    /// That could be, were it not for their health.
    pub(super) in_service: usize,
}

/// What comes of it for one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// In percent.
    pub(super) share: u32,
    /// Whether health is ignored.
    pub(super) is_in_panic: bool,
}

/// The loads of `levels`, highest priority first. They add up to 100, unless there are no levels.
///
/// All in whole percent, rounded down, as Envoy does it: a level is as healthy as its share of
/// available endpoints times `over_provisioning`, at most 100; the first takes as much as it is
/// healthy, and leaves the rest to the next. Where all together are less than 100 what they can take is
/// scaled up to 100, and a level below the `panic` threshold ignores health. If all of them do, each
/// gets its share by number.
pub(super) fn loads(levels: &[Level], over_provisioning: u32, panic: Percent) -> Vec<Load> {
    let health = |level: &Level| match level.in_service {
        0 => 0,
        all => (u64::from(over_provisioning) * level.available as u64 / all as u64).min(100) as u32,
    };
    let healths: Vec<u32> = levels.iter().map(health).collect();
    let sum: u32 = healths.iter().sum();
    let is_in_panic =
        |level: &Level| sum < 100 && panic.is_above(level.available, level.in_service);
    let shares = if sum > 0 && !levels.iter().all(is_in_panic) {
        cascade(&healths, sum.min(100))
    } else {
        by_number(levels, panic)
    };
    let loads = levels.iter().zip(shares);
    loads
        .map(|(level, share)| Load {
            share,
            is_in_panic: is_in_panic(level),
        })
        .collect()
}

/// Each takes as much as it can of what is left.
fn cascade(healths: &[u32], normalized: u32) -> Vec<u32> {
    let mut left = 100;
    let mut shares: Vec<u32> = healths
        .iter()
        .map(|health| {
            let share = (health * 100 / normalized).min(left);
            left -= share;
            share
        })
        .collect();
    // What rounding left goes to the first who can take anything.
    if let Some(first) = healths.iter().position(|&health| health > 0) {
        shares[first] += left;
    }
    shares
}

/// Each gets its share by number, where nobody's health counts; all goes to the first where there is
/// no panic, and so nobody.
fn by_number(levels: &[Level], panic: Percent) -> Vec<u32> {
    let counts = levels.iter().map(|level| level.in_service as u64);
    let all: u64 = counts.clone().sum();
    let mut shares: Vec<u32> = match (panic.get(), all) {
        (0, _) | (_, 0) => vec![0; levels.len()],
        _ => counts.map(|count| (count * 100 / all) as u32).collect(),
    };
    let left = 100 - shares.iter().sum::<u32>();
    if let Some(first) = shares.first_mut() {
        *first += left;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(levels: &[(usize, usize)], panic: u32) -> Vec<u32> {
        let loads = of(levels, panic);
        loads.into_iter().map(|load| load.share).collect()
    }

    fn of(levels: &[(usize, usize)], panic: u32) -> Vec<Load> {
        let level = |&(available, in_service): &(usize, usize)| Level {
            available,
            in_service,
        };
        let levels: Vec<Level> = levels.iter().map(level).collect();
        loads(&levels, 140, Percent::new(panic))
    }

    #[test]
    fn the_published_table_holds() {
        for (available, first) in [(100, 100), (72, 100), (71, 99), (50, 70), (25, 35), (0, 0)] {
            let expected = [first, 100 - first];
            assert_eq!(
                shares(&[(available, 100), (100, 100)], 0),
                expected,
                "{available} %"
            );
        }
    }

    #[test]
    fn three_levels_cascade() {
        // As Envoy's documentation has it.
        let of = |one, two, three| shares(&[(one, 100), (two, 100), (three, 100)], 0);
        assert_eq!(of(100, 100, 100), [100, 0, 0]);
        assert_eq!(of(72, 72, 100), [100, 0, 0]);
        assert_eq!(of(71, 71, 100), [99, 1, 0]);
        assert_eq!(of(50, 50, 100), [70, 30, 0]);
        assert_eq!(of(25, 100, 100), [35, 65, 0]);
        assert_eq!(of(25, 25, 100), [35, 35, 30]);
    }

    #[test]
    fn what_all_together_cannot_take_is_scaled_up() {
        // 25 % and 20 % are 35 and 28 of health; 63 together.
        assert_eq!(shares(&[(25, 100), (20, 100)], 0), [56, 44]);
        assert_eq!(shares(&[(0, 100), (1, 100)], 0), [0, 100]);
    }

    #[test]
    fn there_is_no_panic_while_all_together_can_take_all() {
        let loads = of(&[(0, 10), (10, 10)], 50);
        assert!(loads.iter().all(|load| !load.is_in_panic));
        assert_eq!([loads[0].share, loads[1].share], [0, 100]);
    }

    #[test]
    fn a_level_below_the_threshold_panics_where_they_cannot() {
        // 14 and 70 of health.
        let loads = of(&[(1, 10), (5, 10)], 50);
        let panics: Vec<bool> = loads.iter().map(|load| load.is_in_panic).collect();
        assert_eq!(panics, [true, false]);
        assert_eq!([loads[0].share, loads[1].share], [17, 83]);
    }

    #[test]
    fn where_all_panic_each_gets_its_share_by_number() {
        let loads = of(&[(0, 30), (1, 10)], 50);
        assert!(loads.iter().all(|load| load.is_in_panic));
        assert_eq!([loads[0].share, loads[1].share], [75, 25]);
    }

    #[test]
    fn without_a_threshold_nobody_is_nobody() {
        assert_eq!(shares(&[(0, 10), (0, 10)], 0), [100, 0]);
        assert_eq!(shares(&[(0, 0), (0, 0)], 50), [100, 0]);
        assert!(shares(&[], 50).is_empty());
    }
}
