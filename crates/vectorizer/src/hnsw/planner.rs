//! Whether a search walks the graph or compares every vector.
//!
//! The choice is made from the collection's size and stored figures alone: never from a clock, so that the same search takes the
//! same path every time, and never from the number of queries, so that an answer does not depend on its company.
//!
//! Where only some slots may be found, a walk costs about what it costs among all (measured down to one slot in twenty, on pictures and
//! texts), and comparing costs less: the fewer there are, the sooner they are
//! all compared. Below one in twenty they always are, since a walk would miss too many.

use crate::config::{HnswConfig, MAX_EF, SearchOptions, SearchPath};
use crate::error::{Result, VectorizerError};

/// Where fewer than one in this many of the linked may be found, walks with the usual beam miss too many.
const SPARSE: usize = 20;

/// A walk that cannot answer well is made up for by comparing everything where that costs no more than so many walks.
const COMPARED: usize = 4;
/// And the vectors are no more than this: a lone query reads that in less than a millisecond.
const COMPARED_BYTES: usize = 16 << 20;

/// What the choice is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Slots that may be found.
    pub(super) count: usize,
    /// Those that a walk finds. Copies are not among them: the first of their vector is.
    pub(super) linked: usize,
    /// Those that a walk passes through, whether they may be found or not.
    pub(super) walked: usize,
    /// Of those that may be found, the ones that are not linked yet, and are compared beside a walk.
    pub(super) tail: usize,
    pub(super) k: usize,
}

/// What the engine is capable of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Powers {
    /// The widest beam.
    pub(super) max_ef: usize,
    /// How many scores of a scan cost as much as one of a walk.
    pub(super) scan_gain: usize,
}

/// The way a search takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Compare every vector.
    Exact,
    /// Walk the graph with this beam width, and compare the tail.
    Graph {
        /// At least k.
        ef: usize,
    },
}

/// Chooses.
pub(super) fn choose(
    sizes: Sizes,
    config: &HnswConfig,
    options: &SearchOptions,
    powers: Powers,
) -> Result<Choice> {
    let max_ef = powers.max_ef;
    let asked = options.ef.unwrap_or(config.ef_search);
    if !(1..=MAX_EF).contains(&asked) {
        return Err(VectorizerError::InvalidEf {
            actual: asked,
            max: MAX_EF,
        });
    }
    // A beam wider than the graph finds no more.
    let ef = asked.max(sizes.k).min(sizes.linked.max(sizes.k));
    let sparse = sizes.linked.saturating_mul(SPARSE) < sizes.walked;
    match options.path {
        SearchPath::Exact => Ok(Choice::Exact),
        SearchPath::Graph if sizes.count > 0 && sizes.walked == 0 => {
            Err(VectorizerError::SearchFailed)
        }
        // A beam wider than the engine's gives way to what is at least as good, so that every device answers.
        _ if sparse || ef > max_ef => Ok(Choice::Exact),
        SearchPath::Graph => Ok(Choice::Graph { ef }),
        SearchPath::Auto if sizes.linked == 0 => Ok(Choice::Exact),
        SearchPath::Auto => {
            // The paper's cost: the beam's slots are expanded once each, about half of their links being new.
            let walked = ef.saturating_mul(config.max_connections);
            let graph = walked
                .saturating_mul(powers.scan_gain)
                .saturating_add(sizes.tail);
            Ok(if graph < sizes.count {
                Choice::Graph { ef }
            } else {
                Choice::Exact
            })
        }
    }
}

/// Whether comparing everything instead costs no more than a few walks, so that it is done for queries that walks cannot answer well;
/// `row` is the bytes of one vector.
pub(super) fn may_compare(
    sizes: Sizes,
    row: usize,
    ef: usize,
    config: &HnswConfig,
    powers: Powers,
) -> bool {
    let walk = ef.saturating_mul(config.max_connections);
    let walks = walk
        .saturating_mul(powers.scan_gain)
        .saturating_mul(COMPARED);
    sizes.count <= walks && sizes.count.saturating_mul(row) <= COMPARED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        count: 100_000,
        linked: 100_000,
        walked: 100_000,
        tail: 0,
        k: 10,
    };

    fn chosen(sizes: Sizes, path: SearchPath, ef: Option<usize>) -> Result<Choice> {
        choose(
            sizes,
            &HnswConfig::default(),
            &SearchOptions {
                path,
                ef,
                ..SearchOptions::default()
            },
            Powers {
                max_ef: 1024,
                scan_gain: 8,
            },
        )
    }

    #[test]
    fn large_collections_walk_and_small_ones_scan() {
        assert_eq!(
            chosen(SIZES, SearchPath::Auto, None),
            Ok(Choice::Graph { ef: 64 })
        );
        let small = Sizes {
            count: 1000,
            linked: 1000,
            walked: 1000,
            ..SIZES
        };
        assert_eq!(chosen(small, SearchPath::Auto, None), Ok(Choice::Exact));
        assert_eq!(
            chosen(small, SearchPath::Graph, None),
            Ok(Choice::Graph { ef: 64 })
        );
        assert_eq!(chosen(SIZES, SearchPath::Exact, None), Ok(Choice::Exact));
    }

    #[test]
    fn everything_is_compared_where_it_costs_no_more_than_a_few_walks() {
        let may = |count, row| {
            let sizes = Sizes { count, ..SIZES };
            let powers = Powers {
                max_ef: 1024,
                scan_gain: 4,
            };
            may_compare(sizes, row, 64, &HnswConfig::default(), powers)
        };
        assert!(may(16_384, 4) && !may(16_385, 4));
        assert!(may(4096, 4096) && !may(4096, 4100));
    }

    #[test]
    fn ef_is_raised_to_k() {
        let many = Sizes { k: 100, ..SIZES };
        assert_eq!(
            chosen(many, SearchPath::Graph, Some(10)),
            Ok(Choice::Graph { ef: 100 })
        );
    }

    #[test]
    fn a_beam_beyond_the_engine_is_exact() {
        let many = Sizes { k: 2000, ..SIZES };
        for path in [SearchPath::Auto, SearchPath::Graph] {
            assert_eq!(chosen(many, path, None), Ok(Choice::Exact));
            assert_eq!(chosen(SIZES, path, Some(1025)), Ok(Choice::Exact));
            assert!(chosen(SIZES, path, Some(0)).is_err());
            assert!(chosen(SIZES, path, Some(MAX_EF + 1)).is_err());
        }
    }

    #[test]
    fn without_a_graph_only_its_own_wish_fails() {
        let unlinked = Sizes {
            linked: 0,
            walked: 0,
            tail: SIZES.count,
            ..SIZES
        };
        assert_eq!(chosen(unlinked, SearchPath::Auto, None), Ok(Choice::Exact));
        assert_eq!(
            chosen(unlinked, SearchPath::Graph, None),
            Err(VectorizerError::SearchFailed)
        );
    }

    #[test]
    fn a_long_tail_is_scanned_with_the_rest() {
        let tail = Sizes {
            linked: 2000,
            walked: 2000,
            tail: 98_000,
            ..SIZES
        };
        assert_eq!(chosen(tail, SearchPath::Auto, None), Ok(Choice::Exact));
    }

    #[test]
    fn copies_are_no_tail() {
        let copies = Sizes {
            linked: 2000,
            walked: 2000,
            ..SIZES
        };
        let walked = chosen(copies, SearchPath::Auto, None);
        assert_eq!(walked, Ok(Choice::Graph { ef: 64 }));
    }

    #[test]
    fn where_few_may_be_found_they_are_compared() {
        let among = |linked, k| {
            let sizes = Sizes {
                count: linked,
                linked,
                walked: 1_000_000,
                tail: 0,
                k,
            };
            chosen(sizes, SearchPath::Auto, None).unwrap()
        };
        assert_eq!(among(100_000, 10), Choice::Graph { ef: 64 });
        assert_eq!(among(50_000, 10), Choice::Graph { ef: 64 });
        assert_eq!(among(49_999, 10), Choice::Exact);
        assert_eq!(among(0, 0), Choice::Exact);
        let half = Sizes {
            count: 1000,
            linked: 1000,
            walked: 2000,
            tail: 0,
            k: 500,
        };
        // The beam is as wide as k, and wider than it pays.
        assert_eq!(chosen(half, SearchPath::Auto, Some(1)), Ok(Choice::Exact));
    }

    #[test]
    fn nobody_walks_where_hardly_anything_may_be_found() {
        let sparse = Sizes {
            count: 4999,
            linked: 4999,
            walked: 100_000,
            tail: 0,
            k: 10,
        };
        for path in [SearchPath::Auto, SearchPath::Graph, SearchPath::Exact] {
            assert_eq!(chosen(sparse, path, None), Ok(Choice::Exact));
        }
        let enough = Sizes {
            count: 5000,
            linked: 5000,
            ..sparse
        };
        let walked = chosen(enough, SearchPath::Graph, None);
        assert_eq!(walked, Ok(Choice::Graph { ef: 64 }));
    }
}
