//! How a walk gets along where only some slots may be found.
//!
//! Links lead everywhere, and a beam that holds allowed slots alone would soon have nowhere to go. So there are two. The first, narrow, goes
//! to the query's own neighbourhood whoever lives there. From what it found, from the neighbours of those among it that are not allowed,
//! and from a few slots spread over all that are (the nearest may live far from the query), the second begins: it holds allowed
//! slots alone, and where a link leads to one that is not, the links of that one are followed in its place.
//!
//! Where hardly any slot around the query is allowed though many are elsewhere, the nearest that are may lie in any direction, and
//! no beam finds them all: such a query is left without an answer, for the caller to compare everything that is allowed.

use crate::engine::{Layout, SlotSet, slot};

/// The first beam's width: from where nearly everything is allowed to where nearly nothing is.
const NARROWEST: usize = 4;
const WIDEST: usize = 16;
/// Allowed slots at which the second beam begins in any case.
const SEEDS: usize = 32;
/// Few are allowed around a query if their share is less than one in this many of the share everywhere, or of twice that
/// where nearly all are allowed.
const AGAINST: u128 = 4;
/// Shares are whole numbers of this.
const WHOLE: usize = 1 << 16;

/// What is fixed for all walks of a search, on every engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detour {
    /// The first beam's width.
    pub(crate) approach: usize,
    /// Of the links of a slot that lead to one that is not allowed, how many, from the first on, are replaced by the links
    /// of that one.
    pub(crate) hops: usize,
    /// The least share of allowed slots around a query that is answered, of [`WHOLE`].
    least: u32,
    /// Allowed slots, spread evenly.
    pub(crate) seeds: Vec<u32>,
}

impl Detour {
    /// For beams of width `ef` among the first `linked` slots; `None` if none of them is allowed.
    pub(crate) fn new(
        layout: &Layout,
        linked: usize,
        ef: usize,
        allowed: &SlotSet,
    ) -> Option<Self> {
        let count = allowed.count_in(0..slot(linked));
        if count == 0 {
            return None;
        }
        let rejected = linked - count;
        // So many that a slot sees about as many allowed ones as it would see slots at all.
        let hops = ((rejected + count / 2) / count).min(layout.degree(0));
        let approach = (WIDEST * rejected)
            .div_ceil(linked)
            .max(NARROWEST)
            .min(ef.max(1));
        let [of, all, whole] = [count, linked, WHOLE].map(|number| number as u128);
        let least = of * (all + of) * whole / (AGAINST * all * all);
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        Some(Self {
            approach,
            hops,
            least,
            seeds: allowed.every(count.div_ceil(SEEDS), 0..slot(linked)),
        })
    }

    /// The least share, for the kernel that asks [`Detour::leads_far`] on the device.
    #[cfg(feature = "gpu")]
    pub(crate) fn least(&self) -> u32 {
        self.least
    }

    /// Whether so few (`allowed`) of the slots `around` a query are allowed that it is not answered.
    pub(crate) fn leads_far(&self, around: usize, allowed: usize) -> bool {
        allowed * WHOLE < around * self.least as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Scoring;

    #[test]
    fn the_fewer_are_allowed_the_wider_the_approach_and_the_more_hops() {
        let layout = Layout {
            dimension: 1,
            scoring: Scoring::SquaredEuclidean,
            max_connections: 16,
            precision: crate::config::Precision::F32,
            full_rows: crate::config::FullRows::Device,
        };
        let of = |one_in: u32| {
            let allowed = (0..10_000).filter(|slot| slot % one_in == 0).collect();
            Detour::new(&layout, 10_000, 64, &allowed).unwrap()
        };
        let all = of(1);
        assert_eq!((all.approach, all.hops, all.seeds.len()), (4, 0, 32));
        let half = of(2);
        assert_eq!((half.approach, half.hops), (8, 1));
        let tenth = of(10);
        assert_eq!((tenth.approach, tenth.hops, tenth.seeds.len()), (15, 9, 32));
        assert!(tenth.seeds.iter().all(|seed| seed % 10 == 0));
        assert!(!tenth.leads_far(1000, 28) && tenth.leads_far(1000, 27));
        assert!(!all.leads_far(1000, 500) && all.leads_far(1000, 499));
        let few = of(1000);
        assert_eq!((few.hops, few.seeds.len()), (32, 10));
        assert_eq!(Detour::new(&layout, 10_000, 64, &SlotSet::new()), None);
    }
}
