//! Numbers for tests, the same everywhere.

/// xorshift from a seed other than 0.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `end`, without that.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    /// Whole numbers from `-most` to `most`: sums of their products are exact in any order.
    pub(super) fn integers(&mut self, most: u8, count: usize) -> Vec<f32> {
        let values = 2 * u64::from(most) + 1;
        (0..count)
            .map(|_| (self.next() % values) as f32 - f32::from(most))
            .collect()
    }

    /// Numbers from -1 to 1, without that.
    pub(super) fn reals(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }
}
