//! What deleting and filtering do to recall, speed and memory, on vectors of a file.
//!
//! ```text
//! delete_and_filter BASE.npy QUERIES.npy METRIC [QUERIES] [ROWS]
//! ```
//!
//! A graph over BASE is searched with default parameters, unfiltered and among slots that are allowed at random, near or far of each query, or
//! in a cluster; then half of all slots die, at random, and what is left after taking them out is held against a new graph over the same
//! rows. The truth is the exact search of the same engine. The device is chosen by `VECTORIZER_DEVICE`; the CPU engine by default.

use std::error::Error;
use std::fmt::Arguments;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use vectorizer::config::{CollectionOptions, SearchOptions, SearchPath};
use vectorizer::engine::{Neighbor, SlotSet};
use vectorizer::gpu::context::{Context, DeviceChoice};
use vectorizer::gpu::memory::Label;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::Matrix;

const K: usize = 10;
const SHARES: [f64; 6] = [0.01, 0.05, 0.06, 0.1, 0.5, 0.9];
/// Queries with a filter of their own, each of which is a search alone.
const OWN: usize = 200;
const CLUSTERS: usize = 10;
const ROUNDS: usize = 5;

type Done<T> = Result<T, Box<dyn Error>>;

fn say(line: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

fn all_of(path: &str, most: usize) -> Done<(Vec<f32>, usize)> {
    let matrix = Matrix::open(path)?;
    let mut rows = Vec::new();
    matrix.read(0..matrix.rows().min(most), &mut rows)?;
    Ok((rows, matrix.dimension()))
}

fn by(path: SearchPath) -> SearchOptions {
    SearchOptions {
        path,
        ..SearchOptions::default()
    }
}

/// A graph with books of its own, and how long it took to link.
fn built(
    context: &Context,
    dimension: usize,
    metric: DistanceMetric,
    rows: &[f32],
) -> Done<(HnswGraph, f64)> {
    let own = context.with_limit(None);
    let mut graph = HnswGraph::new(&own, dimension, metric, CollectionOptions::default())?;
    graph.append(rows)?;
    let start = Instant::now();
    graph.build(|_| ControlFlow::Continue(()))?;
    Ok((graph, start.elapsed().as_secs_f64()))
}

fn random(seed: u64, count: u32, share: f64) -> SlotSet {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .filter(|_| random.random::<f64>() < share)
        .collect()
}

/// The share of the true nearest that was found; what is as near as the last of them counts.
fn share_found(truth: &[Neighbor], found: &[Neighbor]) -> f64 {
    let bound = truth.last().map_or(f32::MIN, |last| last.score);
    let bound = bound + bound.abs() * 1e-5;
    let near = found.iter().filter(|hit| hit.score <= bound).count();
    near.min(truth.len()) as f64 / truth.len().max(1) as f64
}

/// Mean recall of walks among `allowed`, and how many of the queries were compared exactly after all.
fn recall(graph: &HnswGraph, queries: &[f32], allowed: &SlotSet) -> Done<(f64, u64)> {
    let before = graph.stats().rescued_queries;
    let found = graph.search_among(queries, K, &by(SearchPath::Graph), Some(allowed))?;
    let rescued = graph.stats().rescued_queries - before;
    let truth = graph.search_among(queries, K, &by(SearchPath::Exact), Some(allowed))?;
    let mut sum = 0.0;
    for (truth, found) in truth.hits.iter().zip(found.hits.iter()) {
        if let Some(wrong) = found.iter().find(|hit| !allowed.contains(hit.slot)) {
            return Err(format!("slot {} is not allowed", wrong.slot).into());
        }
        sum += share_found(truth, found);
    }
    Ok((sum / found.hits.queries() as f64, rescued))
}

/// Queries a second by the planner's choice, the best of some rounds in which all sets take turns.
fn speeds(graph: &HnswGraph, queries: &[f32], sets: &[Option<&SlotSet>]) -> Done<Vec<f64>> {
    let count = (queries.len() / graph.dimension()) as f64;
    let mut best = vec![0.0; sets.len()];
    for _ in 0..ROUNDS {
        for (best, set) in best.iter_mut().zip(sets) {
            let start = Instant::now();
            graph.search_among(queries, K, &SearchOptions::default(), *set)?;
            *best = f64::max(*best, count / start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// Filters of each query's own, by where their slots stand in the order of nearness to it: recall, and how many were compared exactly.
fn near_and_far(graph: &HnswGraph, queries: &[f32]) -> Done<Vec<(String, f64, u64, usize)>> {
    let count = graph.len();
    let queries: Vec<&[f32]> = queries.chunks_exact(graph.dimension()).take(OWN).collect();
    let mut results = Vec::new();
    for (place, share) in [0.1, 0.5, 0.9]
        .into_iter()
        .flat_map(|share| [("nearest", share), ("farthest", share)])
    {
        results.push((
            format!("the {share} that are {place} to the query"),
            0.0,
            0,
            queries.len(),
        ));
    }
    for query in &queries {
        let order = graph.search(query, count, &by(SearchPath::Exact))?;
        let order: Vec<u32> = order.hits.of(0).iter().map(|hit| hit.slot).collect();
        for (share, results) in [1, 5, 9].into_iter().zip(results.chunks_mut(2)) {
            let part = count * share / 10;
            for (slots, result) in [&order[..part], &order[count - part..]]
                .into_iter()
                .zip(results)
            {
                let allowed: SlotSet = slots.iter().copied().collect();
                let (recall, rescued) = recall(graph, query, &allowed)?;
                result.1 += recall / queries.len() as f64;
                result.2 += rescued;
            }
        }
    }
    Ok(results)
}

/// Clusters about some rows: in which one each row is, by the nearest of those.
fn clusters(
    graph: &HnswGraph,
    context: &Context,
    metric: DistanceMetric,
    rows: &[f32],
) -> Done<Vec<u32>> {
    let dimension = graph.dimension();
    let step = graph.len() / CLUSTERS;
    let middles: Vec<f32> = (0..CLUSTERS)
        .flat_map(|cluster| {
            rows[cluster * step * dimension..][..dimension]
                .iter()
                .copied()
        })
        .collect();
    let mut index = HnswGraph::new(context, dimension, metric, CollectionOptions::default())?;
    index.append(&middles)?;
    let nearest = index.search(rows, 1, &by(SearchPath::Exact))?;
    Ok(nearest.hits.iter().map(|hits| hits[0].slot).collect())
}

/// Each query among the slots of a cluster: its own, and that whose nearest slot is farthest from it.
fn by_cluster(
    graph: &HnswGraph,
    queries: &[f32],
    of: &[u32],
) -> Done<Vec<(String, f64, u64, usize)>> {
    let sets: Vec<SlotSet> = (0..CLUSTERS)
        .map(|cluster| {
            let members = (0u32..).zip(of).filter(|(_, of)| **of as usize == cluster);
            members.map(|(slot, _)| slot).collect()
        })
        .collect();
    let sizes: Vec<usize> = sets.iter().map(SlotSet::len).collect();
    say(format_args!("clusters of {sizes:?}"))?;
    let (mut own, mut far) = ((0.0, 0), (0.0, 0));
    let queries: Vec<&[f32]> = queries.chunks_exact(graph.dimension()).take(OWN).collect();
    for query in &queries {
        let mut order = Vec::new();
        for set in sets.iter().filter(|set| set.len() >= K) {
            let nearest = graph.search_among(query, 1, &by(SearchPath::Exact), Some(set))?;
            order.push((nearest.hits.of(0)[0].score, set));
        }
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ends = [order.first(), order.last()];
        for (sum, end) in [&mut own, &mut far].into_iter().zip(ends) {
            let Some((_, set)) = end else { continue };
            let (recall, rescued) = recall(graph, query, set)?;
            *sum = (sum.0 + recall / queries.len() as f64, sum.1 + rescued);
        }
    }
    Ok(vec![
        (
            "the nearest cluster".to_owned(),
            own.0,
            own.1,
            queries.len(),
        ),
        (
            "the farthest cluster".to_owned(),
            far.0,
            far.1,
            queries.len(),
        ),
    ])
}

fn bytes(graph: &HnswGraph) -> u64 {
    let ledger = graph.storage().device().ledger();
    [Label::Rows, Label::Graph]
        .map(|label| ledger.account(label).taken)
        .iter()
        .sum()
}

fn main() -> Done<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [base, queries, metric, numbers @ ..] = words.as_slice() else {
        return Err("delete_and_filter BASE.npy QUERIES.npy METRIC [QUERIES] [ROWS]".into());
    };
    let number = |at: usize| numbers.get(at).map_or(Ok(usize::MAX), |word| word.parse());
    let metric: DistanceMetric = metric.parse()?;
    let (queries, dimension) = all_of(queries, number(0)?)?;
    let (rows, _) = all_of(base, number(1)?)?;
    let context = match DeviceChoice::from_environment()? {
        DeviceChoice::Auto => Context::cpu(),
        choice => Context::with_choice(&choice)?,
    };
    let (mut graph, seconds) = built(&context, dimension, metric, &rows)?;
    let count = u32::try_from(graph.len())?;
    let asked = queries.len() / dimension;
    say(format_args!(
        "{count} x {dimension}, {metric}, {asked} queries, {context}; linked in {seconds:.2} s"
    ))?;

    let everything = SlotSet::full(graph.len());
    let (unfiltered, _) = recall(&graph, &queries, &everything)?;
    say(format_args!("unfiltered: recall@{K} {unfiltered:.4}"))?;
    let sets = SHARES.map(|share| random(7, count, share));
    let all: Vec<Option<&SlotSet>> = std::iter::once(None).chain(sets.iter().map(Some)).collect();
    let speeds = speeds(&graph, &queries, &all)?;
    say(format_args!("unfiltered: {:.0} queries/s", speeds[0]))?;
    for ((share, set), speed) in SHARES.iter().zip(&sets).zip(&speeds[1..]) {
        let (recall, rescued) = recall(&graph, &queries, set)?;
        say(format_args!(
            "{share} at random: recall@{K} {recall:.4}, {rescued} of {asked} compared exactly, {speed:.0} queries/s ({:.2} of unfiltered)",
            speed / speeds[0]
        ))?;
    }
    let of = clusters(&graph, &context, metric, &rows)?;
    let mut own = near_and_far(&graph, &queries)?;
    own.extend(by_cluster(&graph, &queries, &of)?);
    for (name, recall, rescued, asked) in own {
        say(format_args!(
            "{name}: recall@{K} {recall:.4}, {rescued} of {asked} compared exactly"
        ))?;
    }

    let alive = random(11, count, 0.5);
    let start = Instant::now();
    graph.consolidate(&alive)?;
    let seconds = start.elapsed().as_secs_f64();
    graph.check()?;
    let left: Vec<f32> = alive
        .iter()
        .flat_map(|slot| {
            rows[slot as usize * dimension..][..dimension]
                .iter()
                .copied()
        })
        .collect();
    let (fresh, linked) = built(&context, dimension, metric, &left)?;
    let everything = SlotSet::full(alive.len());
    let (ours, theirs) = (
        recall(&graph, &queries, &everything)?.0,
        recall(&fresh, &queries, &everything)?.0,
    );
    say(format_args!(
        "{} of {count} left: taken out in {seconds:.2} s, recall@{K} {ours:.4}, {} bytes; a new graph: {linked:.2} s, {theirs:.4}, {} bytes ({:+.4}, {:.3} of the bytes)",
        alive.len(),
        bytes(&graph),
        bytes(&fresh),
        ours - theirs,
        bytes(&graph) as f64 / bytes(&fresh) as f64
    ))?;
    Ok(())
}
