//! Answers and graphs are the same under every tuning that can be chosen, bit for bit, on vectors whose scores depend on the order of summation.

use super::graph_tests::data::{entry_of, levels, reals};
use super::graph_tests::{add, layout, link};
use super::*;
use crate::config::Precision;
use crate::engine::{Entry, Neighbor, Scoring, Selection};
use crate::gpu::testing;
use crate::gpu::tuning::Knob;

/// The knobs that walks and builds go by, and those of exact search.
const WALKS: [Knob; 5] = [
    Knob::WalkThreads,
    Knob::FewWalkThreads,
    Knob::FewWalks,
    Knob::WideWalkThreads,
    Knob::DispatchParts,
];
const EXACT: [Knob; 3] = [Knob::TileDepth, Knob::TileGroups, Knob::ScanGroups];

fn default() -> Tuning {
    let device = testing::device();
    Tuning::default_for(device.tier(), device.info().kind)
}

fn choices(knob: Knob) -> Vec<u64> {
    let device = testing::device();
    knob.choices(device.tier(), device.info().kind)
}

/// Few tunings that between them have every choice of every knob but `few_walks`, of which every other, each beside other choices of the rest.
fn tunings(knobs: &[Knob]) -> Vec<Tuning> {
    let default = default();
    let longest = |all: usize, knob: &Knob| all.max(choices(*knob).len().min(4));
    let mut all: Vec<Tuning> = (0..knobs.iter().fold(0, longest))
        .map(|turn| {
            knobs
                .iter()
                .enumerate()
                .fold(default, |tuning, (at, knob)| {
                    let choices = choices(*knob);
                    let step = choices.len().div_ceil(4);
                    knob.set(tuning, choices[(turn * step + at) % choices.len()])
                })
        })
        .collect();
    all.retain(|tuning| *tuning != default);
    all
}

/// Lists as bits.
fn bits(hits: &Hits) -> Vec<Vec<(u32, u32)>> {
    let list = |list: &[Neighbor]| {
        let pairs = list.iter().map(|n| (n.slot, n.score.to_bits()));
        pairs.collect()
    };
    hits.iter().map(list).collect()
}

/// Calls of few and of many, by every choice of where few end; narrow beams and wide ones, so many of these; among all and among a third.
fn walked(engine: &GpuEngine, entry: Entry, wide: usize) -> Vec<Vec<Vec<(u32, u32)>>> {
    let dimension = engine.layout.dimension;
    let queries = reals(300, dimension, 31);
    let third: SlotSet = (0..engine.len() as u32).step_by(3).collect();
    let mut answers = Vec::new();
    for (count, ef, among) in [
        (20, 40, None),
        (300, 40, None),
        (wide, 300, None),
        (70, 40, Some(&third)),
    ] {
        let walk = Walk {
            entry,
            level: 0,
            ef,
            k: 10,
        };
        let asked = &queries[..count * dimension];
        answers.push(bits(&engine.walk(asked, &walk, among).unwrap()));
    }
    answers
}

/// Builds under every tuning that building goes by, and walks under every one that walks go by; with lanes that exchange or not, and so many wide walks.
fn walks_are_the_same(layout: Layout, selection: Selection, exchanges: &[(bool, usize)]) {
    let count = 320;
    let rows = reals(count, layout.dimension, 37);
    let levels = levels(count, layout.max_connections, 29);
    let entry = entry_of(&levels).unwrap();
    let built = |tuning: Tuning, exchange: bool| {
        let mut engine = GpuEngine::new(&testing::device(), layout).unwrap();
        engine.exchange &= exchange;
        engine.set_tuning(tuning);
        add(&mut engine, &rows);
        link(&mut engine, &levels, selection);
        let links = (0..=entry.level).map(|level| engine.links(level).unwrap());
        let links: Vec<LevelLinks> = links.collect();
        (engine, links)
    };
    for &(exchange, wide) in exchanges {
        // Whatever is remembered of this device is not what is compared with.
        let (mut engine, links) = built(default(), exchange);
        let answers = walked(&engine, entry, wide);
        for tuning in tunings(&WALKS) {
            engine.set_tuning(tuning);
            let found = walked(&engine, entry, wide);
            for (at, (ours, theirs)) in found.iter().zip(&answers).enumerate() {
                assert!(ours == theirs, "other answers to {at} with {tuning:?}");
            }
        }
        for tuning in tunings(&[
            Knob::WalkThreads,
            Knob::WideWalkThreads,
            Knob::DispatchParts,
        ]) {
            let (_, ours) = built(tuning, exchange);
            assert!(ours == links, "other links with {tuning:?}");
        }
    }
}

const SELECTION: Selection = Selection {
    ef_construction: 150,
    near: 8,
    own: 8,
    fill: 4,
    relink_own: 12,
    relink_fill: 10,
};

#[test]
fn graphs_and_walks_are_the_same_under_every_tuning() {
    // With a quarter of what a dispatch takes, 300 walks with a beam of 300 are several, and so are the last batch's.
    walks_are_the_same(
        layout(96, Scoring::SquaredEuclidean, 8),
        SELECTION,
        &[(true, 300), (false, 40)],
    );
}

#[test]
fn long_rows_and_many_links_are_walked_the_same_under_every_tuning() {
    // 128 links: more than the fewest threads.
    let selection = Selection {
        ef_construction: 60,
        ..SELECTION
    };
    let layout = layout(260, Scoring::NegativeDot, 64);
    walks_are_the_same(layout, selection, &[(true, 40)]);
}

#[test]
fn walks_by_a_small_form_are_the_same_under_every_tuning() {
    let layout = Layout {
        precision: Precision::Int8,
        ..layout(40, Scoring::SquaredEuclidean, 8)
    };
    let selection = Selection {
        ef_construction: 60,
        ..SELECTION
    };
    walks_are_the_same(layout, selection, &[(true, 40)]);
}

#[test]
fn exact_answers_are_the_same_under_every_tuning() {
    // So many rows that every number of groups cuts them otherwise (no slab has fewer than 256); and rows that tiles take in several steps, the last of them not full.
    for (count, dimension, exchanges) in [(80_000, 4, &[true][..]), (3_000, 69, &[true, false])] {
        let layout = layout(dimension, Scoring::SquaredEuclidean, 4);
        let mut engine = GpuEngine::new(&testing::device(), layout).unwrap();
        engine.products = Products::by(products::Way::Never);
        add(&mut engine, &reals(count, dimension, 41));
        let queries = reals(140, dimension, 43);
        let third: SlotSet = (0..count as u32).step_by(3).collect();
        for exchange in exchanges {
            engine.exchange &= exchange;
            let answers = |engine: &GpuEngine| {
                let mut answers = Vec::new();
                for (asked, k, among) in [
                    (3, 10, None),
                    (140, 10, None),
                    (3, 100, Some(&third)),
                    (20, 100, Some(&third)),
                ] {
                    let asked = &queries[..asked * dimension];
                    let hits = engine.exact(asked, k, 0..count as u32, among).unwrap();
                    answers.push(bits(&hits));
                }
                answers
            };
            engine.set_tuning(default());
            let expected = answers(&engine);
            for tuning in tunings(&EXACT) {
                engine.set_tuning(tuning);
                for (at, (ours, theirs)) in answers(&engine).iter().zip(&expected).enumerate() {
                    assert!(ours == theirs, "other answers to {at} with {tuning:?}");
                }
            }
        }
    }
}
