//! In which batches slots are linked, and how links are chosen: one plan for every engine, so that graphs are the same.

use crate::config::HnswConfig;
use crate::engine::Selection;

/// The first slots, linked by their exact neighbours.
const SEED: usize = 2048;
/// A collection of at most this many is all seed: comparing everything then costs no more than walking would.
const ALL_SEED: usize = 16_384;
/// As long as components (or candidates) times slots are no more than this.
const ALL_SEED_WORK: usize = 1 << 22;
/// A batch is at most this share (one in) of what is linked already.
const GROWTH: usize = 16;
/// And at most this many.
const LARGEST: usize = 8192;

/// Copies of earlier vectors that a batch takes along, at most.
pub(super) const MOST_COPIES: usize = 16_384;

/// The next batch: how many slots it takes and how their links are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) slots: usize,
    pub(super) selection: Selection,
}

/// What comes next, `linked` slots of `dimension` components being linked and `waiting` not; `thinned` says that dead ones were taken
/// out since all were linked.
pub(super) fn next(
    linked: usize,
    waiting: usize,
    thinned: bool,
    dimension: usize,
    config: &HnswConfig,
) -> Step {
    let small = linked + waiting <= all_seed(dimension, config);
    let most = match linked {
        0 if small => waiting,
        0 => SEED,
        _ => (linked / GROWTH).clamp(1, LARGEST),
    };
    Step {
        slots: waiting.min(most),
        selection: match (small, linked) {
            (true, 0) => filled_up(config),
            (true, _) => filled_up_later(config),
            (false, _) if thinned => kept_full(config),
            (false, _) => selection(config),
        },
    }
}

/// The most slots that are linked in one go by their exact neighbours.
pub(super) fn all_seed(dimension: usize, config: &HnswConfig) -> usize {
    let width = dimension.max(config.ef_construction).max(1);
    (ALL_SEED_WORK / width).clamp(SEED, ALL_SEED)
}

/// How links are chosen. Measured on 40,000 rows of text (docs-lsa): with `own` of 16, 20, 24 and 32 at M = 16, recall at ef 64
/// is 0.969, 0.971, 0.973 and 0.973, for 8.6, 9.0, 10.0 and 11.3 s; near ones beyond 16 add nothing, none at all cost 0.004.
/// Filling rows up does half as much work again for the same recall at the same number of scores.
pub(super) fn selection(config: &HnswConfig) -> Selection {
    let m = config.max_connections;
    Selection {
        ef_construction: config.ef_construction,
        near: config.ef_construction.min(16),
        own: m + m / 2,
        fill: 0,
        relink_own: 2 * m,
        relink_fill: 0,
    }
}

/// The same for a small collection, whose rows are filled up with the nearest of the dropped: that costs little there, and where numbers
/// are spread evenly over many dimensions it is what finds more at the same ef (10,000 x 32: 0.977 without, 0.989 with). Batches that come
/// later do likewise: without, each thins the full rows that it comes to (5,000 x 16, M 16: 20 of 31 links left after a sixth was added).
///
/// A seed's rows are not full at first, for most links of a slot are answers to its own.
fn filled_up(config: &HnswConfig) -> Selection {
    let m = config.max_connections;
    let own = m + (5 * m).div_ceil(8);
    Selection {
        own,
        fill: own,
        relink_fill: 2 * m,
        ..selection(config)
    }
}

/// The same for a batch that comes later: few answer a slot of it, and so it fills its row by itself. Twenty rounds of taking out one in six
/// and adding as many (5,000 x 16, M 8, ef 10 and 16) left recall 0.006 and 0.005 below that of a new graph with the seed's numbers, and
/// 0.001 and 0.002 with these.
fn filled_up_later(config: &HnswConfig) -> Selection {
    let own = 2 * config.max_connections;
    Selection {
        own,
        fill: own,
        ..filled_up(config)
    }
}

/// For a large collection from which dead ones were taken out. Links that took the place of others are mostly such as the heuristic drops:
/// a full row that is chosen again keeps the nearest of them. 20,000 x 16, M 8, five rounds of taking out one in six and adding as many: without,
/// 13.6 links a row and recall at ef 10 and 16 0.010 below a new graph's; with, 15.1 links and 0.007 to 0.011 above.
fn kept_full(config: &HnswConfig) -> Selection {
    Selection {
        relink_fill: 2 * config.max_connections,
        ..selection(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up_and_stay_in_proportion() {
        let config = HnswConfig::default();
        let small = all_seed(64, &config);
        for total in [0, 1, 31, 32, 33, small, small + 1, 100_000] {
            let mut linked = 0;
            while linked < total {
                let step = next(linked, total - linked, false, 64, &config);
                let most = match linked {
                    0 if total <= small => small,
                    0 => SEED,
                    _ => (linked / GROWTH).max(1),
                };
                assert!((1..=most).contains(&step.slots));
                linked += step.slots;
            }
            assert_eq!(linked, total);
        }
    }

    #[test]
    fn wide_rows_and_wide_beams_make_smaller_seeds() {
        let config = HnswConfig::default();
        let wide = HnswConfig {
            ef_construction: 1024,
            ..config
        };
        let seeds = [
            all_seed(1, &config),
            all_seed(784, &config),
            all_seed(100_000, &config),
            all_seed(1, &wide),
        ];
        assert_eq!(seeds, [ALL_SEED, 5349, SEED, 4096]);
    }

    #[test]
    fn only_small_collections_are_filled_up_and_never_beyond_a_row() {
        for m in 2..=64 {
            let config = HnswConfig {
                max_connections: m,
                ..HnswConfig::default()
            };
            for (linked, waiting) in [(0, 1000), (1000, 10), (16_000, 384)] {
                for thinned in [false, true] {
                    let small = next(linked, waiting, thinned, 8, &config).selection;
                    assert!(small.own <= 2 * m && small.fill == small.own);
                    assert!(small.relink_fill == 2 * m && (linked == 0 || small.own == 2 * m));
                }
            }
            for (linked, waiting) in [(0, 100_000), (100_000, 10), (16_000, 385)] {
                let large = next(linked, waiting, false, 8, &config).selection;
                assert_eq!((large.fill, large.relink_fill), (0, 0));
                let thinned = next(linked, waiting, true, 8, &config).selection;
                assert_eq!((thinned.fill, thinned.relink_fill), (0, 2 * m));
            }
        }
    }
}
