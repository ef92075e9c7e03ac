//! The kernel that multiplies, on numbers whose products are known.

use half::f16;

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, hardware, read_back};
use crate::error::Result;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::Specialised;
use crate::kernels::exact::products::{
    CAPACITY, Matrices, PRODUCTS, ProductsParams, TILE, constants, depths,
};

/// Of a tile's queries, one in so many is looked at; a number that has no divisor in common with any size of matrices.
const LOOKED_AT: usize = 3;
/// No row is farther: every one is put down.
const FAR: f32 = 1e30;

/// A number of a query or a row: whole and small, so that sums are exact in 24 bits, and not in 11.
fn number(row: usize, component: usize, of: usize) -> i16 {
    let mixed = (row * 193 + component * 71 + of) * 40_503 % 65_536;
    i16::try_from(mixed / 1_057).unwrap_or(0) - 31
}

/// The halves of a tile of rows of `width` numbers, as `exact_halves` lays them down.
fn halves(block: usize, width: usize, of: usize) -> Vec<f16> {
    let mut halves = vec![f16::ZERO; TILE as usize * width];
    for row in 0..TILE as usize {
        for component in 0..width {
            let matrix = row / block * (width / block) + component / block;
            let at = (matrix * block + row % block) * block + component % block;
            halves[at] = f16::from_f32(f32::from(number(row, component, of)));
        }
    }
    halves
}

fn product(query: usize, row: usize, width: usize) -> i64 {
    (0..width)
        .map(|at| i64::from(number(query, at, 1)) * i64::from(number(row, at, 2)))
        .sum()
}

impl GpuEngine {
    /// Whether a tile of known numbers comes out right.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub(super) fn multiplies_right(&self, matrices: Matrices) -> Result<bool> {
        let hardware = hardware(&self.device)?;
        let rows = self.rows.chunk_shape();
        let program = hardware.program(&Specialised {
            kernel: &PRODUCTS,
            rows,
            scoring: self.layout.scoring,
            subgroups: self.exchange,
            constants: constants(rows.parts, matrices, false, false, false),
        })?;
        let width = (depths(rows.parts, matrices.block) * matrices.block) as usize;
        let tile = TILE as usize;
        let (query_halves, row_halves) = (
            halves(matrices.block as usize, width, 1),
            halves(matrices.block as usize, width, 2),
        );
        let pool = MetalBufferPool::new(self.device.clone());
        let bring = |name, bytes: &[u8]| {
            let buffer = pool.lend(Purpose::Storage, name, bytes.len() as u64)?;
            hardware.guarded(|_| {
                hardware.queue().write_buffer(&buffer, 0, bytes);
                Ok(())
            })?;
            Ok(buffer)
        };
        // A row's value is then minus the product.
        let terms = |term: [f32; 4]| bytemuck::cast_slice(&vec![term; tile]).to_vec();
        let slots: Vec<u32> = (0..TILE).collect();
        let bound = [
            bring(
                "queries in half floats",
                bytemuck::cast_slice(&query_halves),
            )?,
            bring("rows in half floats", bytemuck::cast_slice(&row_halves))?,
            bring("terms of queries", &terms([1.0, 0.0, 0.0, 0.0]))?,
            bring("limits", bytemuck::cast_slice(&vec![FAR; tile]))?,
            bring("terms of rows", &terms([0.0, 1.0, 0.0, 0.0]))?,
            bring("slots", bytemuck::cast_slice(&slots))?,
            bring("rows put down, counted", &vec![0; tile * 4])?,
        ];
        let bytes = u64::from(TILE * CAPACITY) * 16;
        let lists = pool.lend(Purpose::Storage, "rows put down", bytes)?;
        let mut staging = pool.lend(Purpose::Readback, "rows put down, read back", bytes)?;
        let mut recorder = Recorder::new(&self.device);
        recorder.clear(&lists);
        let mut own: Vec<(u32, &wgpu::Buffer)> =
            (1..).zip(bound.iter().map(|buffer| &**buffer)).collect();
        own.push((8, &lists));
        let params = ProductsParams { first_tile: 0 };
        recorder.dispatch(&program, &params, &own, &[], [1, 1]);
        recorder.copy(&lists, &staging, bytes);
        let submission = recorder.submit()?;
        let mut right = true;
        read_back(&self.device, submission, &mut staging, bytes, |bytes| {
            let lists: &[[u32; 4]] = bytemuck::cast_slice(bytes);
            for query in (0..tile).step_by(LOOKED_AT) {
                let list = &lists[query * CAPACITY as usize..][..tile];
                let mut met = vec![false; tile];
                for [value, _, slot, _] in list {
                    let row = *slot as usize;
                    let Some(met) = met.get_mut(row) else {
                        right = false;
                        continue;
                    };
                    *met = true;
                    let expected = -product(query, row, width) as f64;
                    // Whole numbers.
                    right &= (f64::from(f32::from_bits(*value)) - expected).abs() < 0.5;
                }
                right &= met.iter().all(|met| *met);
            }
        })?;
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Scoring;
    use crate::engine::gpu::products::Way;
    use crate::engine::gpu::tests::{SCORINGS, engine, layout};
    use crate::gpu::testing;
    use crate::kernels::exact::products::Multiplier;

    fn imitated(block: u32, by: Multiplier) -> Matrices {
        Matrices { block, by }
    }

    #[test]
    fn what_multiplies_right_is_believed_and_what_does_not_is_not() {
        for dimension in [1, 17, 96, 784] {
            for scoring in SCORINGS {
                let engine = engine(layout(dimension, scoring), &[]);
                let right = |matrices| engine.multiplies_right(matrices).unwrap();
                assert!(right(imitated(16, Multiplier::Imitated)), "{dimension}");
                assert!(!right(imitated(16, Multiplier::Wrong)), "{dimension}");
                if let Way::Worth(matrices) = Way::of(&testing::device()) {
                    assert!(right(matrices), "{dimension}");
                }
            }
        }
    }

    #[test]
    fn the_known_numbers_need_more_than_a_half_float_and_no_more_than_a_float() {
        for width in [16, 128, 784, 4_096] {
            let sums: Vec<i64> = (0..9).map(|row| product(3 * row, row, width)).collect();
            assert!(
                sums.iter().any(|sum| sum % 2 != 0 && sum.abs() > 1 << 11),
                "{sums:?}"
            );
            let most: i64 = (0..width)
                .map(|at| i64::from(number(0, at, 1) * number(0, at, 2)).abs())
                .sum();
            assert!(most < 1 << 24, "{most}");
        }
    }

    #[test]
    fn an_engine_does_not_use_what_is_wrong() {
        let mut engine = engine(layout(8, Scoring::SquaredEuclidean), &[1.0; 80]);
        for (by, used) in [(Multiplier::Imitated, true), (Multiplier::Wrong, false)] {
            engine.products = super::super::Products::by(Way::Always(imitated(16, by)));
            assert_eq!(engine.matrices_to_search(100, 10, 5).is_some(), used);
        }
        engine.products =
            super::super::Products::by(Way::Always(imitated(16, Multiplier::Imitated)));
        assert_eq!(engine.matrices_to_search(100, 10, 65), None);
    }
}
