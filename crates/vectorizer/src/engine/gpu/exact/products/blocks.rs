//! In which blocks, and in which order, rows are multiplied.

use crate::engine::gpu::rows::{Stretch, small};
use crate::kernels::exact::products::{CAPACITY, TILE};

/// Rows that a block is to leave for each query, of the [`CAPACITY`] that can be held.
const LEFT: usize = 192;
/// Rows that are neighbours and stay together, and the most runs of them: their numbers are multiplied in 32 bits.
const RUN: usize = 64;
const RUNS: usize = 1 << 16;

/// A block of the rows that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stretch: Stretch,
    /// Its first row, counted in the order in which the stretch's rows are taken.
    pub(super) first: u32,
    pub(super) rows: u32,
}

/// The rows of `stretches` in blocks of `most` at the most: first as many as can be put down for a query whatever they are, then as many as will
/// leave [`LEFT`] of them.
pub(super) fn blocks(stretches: &[Stretch], k: usize, most: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut seen = 0;
    for stretch in stretches {
        let mut first = 0;
        while first < stretch.rows as usize {
            let next = if seen == 0 {
                CAPACITY as usize
            } else {
                seen * LEFT / (k + 6)
            };
            // Whole tiles, so that only the last has places without a row.
            let tile = TILE as usize;
            let next = (next / tile * tile).clamp(tile, most);
            let rows = next.min(stretch.rows as usize - first);
            blocks.push(Block {
                stretch: *stretch,
                first: small(first),
                rows: small(rows),
            });
            first += rows;
            seen += rows;
        }
    }
    blocks
}

/// In which order a stretch's rows are taken: the length of a run, how many there are, and by how many the next one is further.
pub(super) fn order(rows: u32) -> [u32; 3] {
    let mut run = RUN;
    while rows as usize / run > RUNS {
        run *= 2;
    }
    let runs = rows as usize / run;
    // By the golden ratio, so that any number of first runs lies spread over all.
    let mut step = (runs * 618 / 1_000).max(1);
    while !coprime(step, runs) {
        step += 1;
    }
    [small(run), small(runs), small(step)]
}

fn coprime(mut a: usize, mut b: usize) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_every_row_once() {
        let stretch = |chunk, first_row, rows| Stretch {
            chunk,
            first_slot: 0,
            first_row,
            rows,
        };
        let stretches = [
            stretch(0, 7, 70_001),
            stretch(1, 0, 1),
            stretch(2, 0, 5_000),
        ];
        for (k, most) in [(1, 1 << 20), (10, 4_000), (64, 128)] {
            let blocks = blocks(&stretches, k, most);
            assert_eq!(blocks[0].rows as usize, most.min(CAPACITY as usize));
            for stretch in stretches {
                let mut next = 0;
                for block in blocks.iter().filter(|block| block.stretch == stretch) {
                    assert_eq!(block.first, next);
                    assert!(block.rows > 0 && block.rows as usize <= most);
                    next += block.rows;
                }
                assert_eq!(next, stretch.rows);
            }
        }
    }

    #[test]
    fn an_order_takes_every_run_once() {
        for rows in [1, 63, 64, 128, 200, 6_400, 100_000, 5_000_000] {
            let [run, runs, step] = order(rows);
            assert!(runs <= 1 << 16 && run * runs <= rows);
            assert!(u64::from(runs) * u64::from(step) < 1 << 32);
            let mut seen = vec![false; runs as usize];
            for at in 0..runs {
                let to = (at * step % runs) as usize;
                assert!(!seen[to], "{rows} rows: run {to} comes twice");
                seen[to] = true;
            }
        }
    }
}
