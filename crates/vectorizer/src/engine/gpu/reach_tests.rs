//! What the device says of reachability against a plain walk over the same links.

use super::reach::MOST_RINGS;
use super::*;
use crate::engine::{NO_SLOT, Scoring};
use crate::gpu::testing;

const LAYOUT: Layout = Layout {
    dimension: 1,
    scoring: Scoring::SquaredEuclidean,
    max_connections: 2,
    precision: crate::config::Precision::F32,
    full_rows: FullRows::Device,
};

/// An engine with these links, in chunks of at most so many rows.
fn engine(levels: &[u8], links: &[LevelLinks], chunk: u64) -> GpuEngine {
    let mut engine = GpuEngine::new(&testing::device(), LAYOUT).unwrap();
    engine.graph = Graph::with_chunks_of(LAYOUT, chunk);
    let rows = engine.stage_rows(&vec![0.0; levels.len()]).unwrap();
    engine.commit_rows(rows);
    engine.put_links(levels, links).unwrap();
    engine
}

/// Rows of up to `most` links between members, whose slots are given.
fn scattered(members: &[u32], degree: usize, most: usize, seed: &mut u64) -> LevelLinks {
    let mut next = |below: usize| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % below
    };
    let mut rows = Vec::new();
    for _ in members {
        let count = next(most.min(degree) + 1);
        let row = (0..count).map(|_| members[next(members.len())]);
        let row: Vec<u32> = row.collect();
        rows.extend(&row);
        rows.extend(std::iter::repeat_n(NO_SLOT, degree - count));
    }
    LevelLinks { degree, rows }
}

fn all_reached(members: &[u32], links: &LevelLinks, start: u32) -> bool {
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(slot) = reached.get(next) {
        next += 1;
        let rank = members.binary_search(slot).unwrap();
        for to in &links.rows[rank * links.degree..][..links.degree] {
            if *to != NO_SLOT && !reached.contains(to) {
                reached.push(*to);
            }
        }
    }
    reached.len() == members.len()
}

#[test]
fn the_device_says_what_a_walk_over_the_links_says() {
    let (mut yes, mut no, mut seed) = (0, 0, 7);
    for count in [1usize, 2, 3, 31, 32, 33, 257, 1000] {
        for chunk in [64, 1 << 20] {
            for most in [1, 4] {
                for attempt in 0..4 {
                    let levels: Vec<u8> = (0..count).map(|at| u8::from(at % 3 == 0)).collect();
                    let members = [0, 1].map(|level| {
                        let there = (0u32..).zip(&levels).filter(|(_, of)| **of >= level);
                        there.map(|(slot, _)| slot).collect::<Vec<_>>()
                    });
                    let mut links = [0, 1].map(|level| {
                        scattered(&members[level], LAYOUT.degree(level), most, &mut seed)
                    });
                    if attempt > 0 && most > 1 {
                        // Full rows, the first of them a ring through all: everything is reached, in few steps.
                        for (links, members) in links.iter_mut().zip(&members) {
                            let rows = links.rows.chunks_exact_mut(links.degree);
                            for (at, row) in rows.enumerate() {
                                row[0] = members[(2 * at + 1) % members.len()];
                                row[1] = members[(2 * at + 2) % members.len()];
                            }
                        }
                    }
                    let engine = engine(&levels, &links, chunk);
                    for level in [0, 1] {
                        let expected = all_reached(&members[level], &links[level], 0);
                        let said = engine.reaches_all(level, 0, members[level].len()).unwrap();
                        assert_eq!(
                            said, expected,
                            "{count} slots in chunks of {chunk}, level {level}"
                        );
                        *if said { &mut yes } else { &mut no } += 1;
                    }
                }
            }
        }
    }
    assert!(yes > 20 && no > 20, "{yes} reached, {no} not");
}

#[test]
fn a_chain_is_followed_as_far_as_rings_go_and_then_left_to_the_host() {
    let longest = MOST_RINGS;
    for (count, expected) in [
        (longest - 1, true),
        (longest, true),
        (longest + 1, false),
        (10 * longest, false),
    ] {
        let degree = LAYOUT.degree(0);
        let rows = (1..=count).flat_map(|next| {
            let next = if next == count { NO_SLOT } else { next };
            std::iter::once(next).chain(std::iter::repeat_n(NO_SLOT, degree - 1))
        });
        let links = LevelLinks {
            degree,
            rows: rows.collect(),
        };
        let engine = engine(&vec![0; count as usize], &[links], 1 << 20);
        assert_eq!(
            engine.reaches_all(0, 0, count as usize).unwrap(),
            expected,
            "{count} slots"
        );
        let last = engine.reaches_all(0, count - 1, count as usize).unwrap();
        assert!(!last, "the last of {count} leads nowhere");
    }
}

#[test]
fn without_links_there_is_nothing_to_reach() {
    let engine = GpuEngine::new(&testing::device(), LAYOUT).unwrap();
    assert!(engine.reaches_all(0, 0, 0).unwrap());
}
