//! Rows and levels from a seed.

use crate::engine::Entry;

/// Numbers from a seed.
pub(in crate::engine::gpu) struct Dice(pub(in crate::engine::gpu) u64);

impl Dice {
    pub(in crate::engine::gpu) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Small integers: sums of their products are exact in any order.
pub(in crate::engine::gpu) fn integers(count: usize, dimension: usize, seed: u64) -> Vec<f32> {
    let mut dice = Dice(seed);
    (0..count * dimension)
        .map(|_| dice.below(19) as f32 - 9.0)
        .collect()
}

/// Rows whose scores depend on the order of summation.
pub(in crate::engine::gpu) fn reals(count: usize, dimension: usize, seed: u64) -> Vec<f32> {
    let mut dice = Dice(seed);
    (0..count * dimension)
        .map(|_| dice.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}

pub(in crate::engine::gpu) fn levels(count: usize, max_connections: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed ^ 0xabcd);
    let level = |dice: &mut Dice| {
        (0..4)
            .take_while(|_| dice.below(max_connections) == 0)
            .count() as u8
    };
    (0..count).map(|_| level(&mut dice)).collect()
}

/// The slot with the highest level, of several the lowest.
pub(in crate::engine::gpu) fn entry_of(levels: &[u8]) -> Option<Entry> {
    let level = *levels.iter().max()?;
    let slot = levels.iter().position(|of| *of == level)?;
    Some(Entry {
        slot: slot as u32,
        level: level.into(),
    })
}
