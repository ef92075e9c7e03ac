//! Made-up data: the same numbers for the same seed, on every machine and with any number of threads.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// A mixture of Gaussian clouds. Each cloud is flat: its points lie along `latent` directions of their own mixing of the
/// axes, which is what makes real descriptors searchable where white noise of as many dimensions is not.
#[derive(Debug, Clone, Copy)]
pub struct Mixture {
    /// Numbers in a row.
    pub dimension: usize,
    /// How many clouds.
    pub clusters: usize,
    /// Directions along which points differ; `dimension` or more gives round clouds.
    pub latent: usize,
    /// How wide a cloud is, where the centres are one apart on every axis (standard deviations).
    pub spread: f32,
    /// Whether the numbers are rounded to whole ones from 0 to 255, as descriptors of images are.
    pub whole: bool,
    /// What decides all numbers.
    pub seed: u64,
}

impl Mixture {
    /// Like SIFT descriptors: 128 whole numbers from 0 to 255, locally of some 16 directions.
    #[must_use]
    pub const fn like_sift(seed: u64) -> Self {
        Self {
            dimension: 128,
            clusters: 1_000,
            latent: 16,
            spread: 0.6,
            whole: true,
            seed,
        }
    }

    /// Like sentence embeddings: `dimension` real numbers, locally of some 32 directions.
    #[must_use]
    pub const fn like_text(dimension: usize, seed: u64) -> Self {
        Self {
            dimension,
            clusters: 500,
            latent: 32,
            spread: 0.8,
            whole: false,
            seed,
        }
    }

    /// Rows `first..first + rows` of the endless table, end to end. Take queries from beyond the base's last row.
    #[must_use]
    pub fn rows(&self, first: usize, rows: usize) -> Vec<f32> {
        let centres = self.normals(u64::MAX, self.clusters * self.dimension);
        let flat = self.latent < self.dimension;
        let axes = if flat {
            let mut axes = self.normals(u64::MAX - 1, self.latent * self.dimension);
            let shrink = 1.0 / (self.latent as f32).sqrt();
            axes.iter_mut().for_each(|number| *number *= shrink);
            axes
        } else {
            Vec::new()
        };
        let mut out = vec![0.0; rows * self.dimension];
        out.par_chunks_mut(self.dimension)
            .enumerate()
            .for_each(|(row, out)| {
                let mut random = self.random((first + row) as u64);
                let cluster = random.random_range(0..self.clusters.max(1));
                out.copy_from_slice(&centres[cluster * self.dimension..][..self.dimension]);
                if flat {
                    for axis in axes.chunks_exact(self.dimension) {
                        // Each cloud reads the axes from another place on, so that no two are flat alike.
                        let along = self.spread * random.sample::<f32, _>(StandardNormal);
                        let turn = cluster % self.dimension;
                        let turned = axis[turn..].iter().chain(&axis[..turn]);
                        for (number, step) in out.iter_mut().zip(turned) {
                            *number += along * step;
                        }
                    }
                } else {
                    for number in out.iter_mut() {
                        *number += self.spread * random.sample::<f32, _>(StandardNormal);
                    }
                }
                if self.whole {
                    for number in out {
                        *number = (*number).mul_add(40.0, 60.0).round().clamp(0.0, 255.0);
                    }
                }
            });
        out
    }

    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }

    fn normals(&self, stream: u64, count: usize) -> Vec<f32> {
        let mut random = self.random(stream);
        (0..count).map(|_| random.sample(StandardNormal)).collect()
    }
}
