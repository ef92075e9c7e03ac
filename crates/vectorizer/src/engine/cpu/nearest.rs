//! The k nearest of a stream of neighbours.

use crate::engine::Neighbor;

/// Keeps the `k` nearest of all that are pushed. Any k: a push costs constant time on average, not log k.
#[derive(Debug)]
pub(crate) struct Nearest {
    k: usize,
    /// Half as many again as k, and a little more, cut to k when full.
    kept: Vec<Neighbor>,
    room: usize,
    /// Orders no later than the k-th nearest so far: what does not order before it cannot be among the k nearest.
    bound: Neighbor,
}

impl Nearest {
    /// Nothing yet.
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            kept: Vec::new(),
            room: k.saturating_add(k / 2 + 4),
            bound: if k == 0 {
                Neighbor {
                    score: f32::NEG_INFINITY,
                    slot: 0,
                }
            } else {
                Neighbor::NONE
            },
        }
    }

    /// How many are kept.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// A score above this one is not worth a push.
    #[inline(always)]
    pub(crate) fn bound(&self) -> f32 {
        self.bound.score
    }

    /// Takes note of a neighbour.
    #[inline(always)]
    pub(crate) fn push(&mut self, neighbor: Neighbor) {
        if neighbor.score <= self.bound.score {
            self.keep(neighbor);
        }
    }

    #[inline(never)]
    fn keep(&mut self, neighbor: Neighbor) {
        if neighbor >= self.bound {
            return;
        }
        self.kept.push(neighbor);
        if self.kept.len() == self.room {
            self.cut();
        }
    }

    /// Drops all but the k nearest, which come in no order.
    fn cut(&mut self) {
        if self.k > 0 && self.kept.len() >= self.k {
            let (_, last, _) = self.kept.select_nth_unstable(self.k - 1);
            self.bound = *last;
            self.kept.truncate(self.k);
        }
    }

    /// The k nearest, or all there are, nearest first; ready for the next stream.
    pub(crate) fn finish(&mut self, out: &mut Vec<Neighbor>) {
        self.cut();
        self.kept.sort_unstable();
        out.clear();
        out.append(&mut self.kept);
        *self = Self {
            kept: std::mem::take(&mut self.kept),
            ..Self::new(self.k)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_in_order_for_every_k() {
        // Many ties: 1000 neighbours of 97 scores.
        let stream: Vec<Neighbor> = (0..1000u32)
            .map(|slot| Neighbor {
                score: (slot * 7919 % 97) as f32 - 48.0,
                slot,
            })
            .collect();
        let mut sorted = stream.clone();
        sorted.sort_unstable();
        for k in [0, 1, 2, 10, 31, 32, 33, 500, 999, 1000, 1001, usize::MAX] {
            let mut nearest = Nearest::new(k);
            let mut out = vec![Neighbor::NONE];
            for _ in 0..2 {
                for neighbor in &stream {
                    nearest.push(*neighbor);
                }
                nearest.finish(&mut out);
                assert_eq!(out, sorted[..k.min(1000)], "k = {k}");
            }
        }
    }
}
