//! The work that is timed: made-up vectors, a graph over them, and ways to search both.

use std::ops::ControlFlow;
use std::time::Instant;

use super::TuneOptions;
use crate::config::{CollectionOptions, SearchOptions, SearchPath};
use crate::engine::{Hits, LevelLinks};
use crate::error::Result;
use crate::gpu::context::Context;
use crate::gpu::tuning::{Knob, Tuning};
use crate::hnsw::HnswGraph;
use crate::models::DistanceMetric;

/// Components of a vector.
const DIMENSION: usize = 128;
/// Neighbours that are asked for.
const K: usize = 10;
/// And by tiles on a device that multiplies matrices: of fewer, tiles see no large calls there.
const LONGER: usize = 100;
/// Vectors compared exactly, for each that is in the graph.
const EXACT_SHARE: usize = 4;
/// A narrow beam and a wide one.
const NARROW: usize = 64;
const WIDE: usize = 256;
/// Queries that come alone, and queries of an exact search by tiles, at most.
const ALONE: usize = 64;
const TILED: usize = 1_024;
/// Sizes of calls between few and many.
const BETWEEN: [usize; 6] = [32, 64, 128, 256, 512, 1_024];

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Many walks with a narrow beam.
    Many,
    /// Walks that come alone.
    Alone,
    /// The same number of walks in calls of each size from few to many.
    Between,
    /// Many walks with a wide beam.
    Wide,
    /// Exact search, many queries.
    Tiles,
    /// Exact search, queries that come alone.
    Scan,
}

impl Load {
    /// What a knob is for.
    pub(super) fn of(knob: Knob) -> Self {
        match knob {
            Knob::WalkThreads => Self::Many,
            Knob::FewWalkThreads => Self::Alone,
            Knob::FewWalks => Self::Between,
            Knob::WideWalkThreads | Knob::DispatchParts => Self::Wide,
            Knob::TileDepth | Knob::TileGroups => Self::Tiles,
            Knob::ScanGroups => Self::Scan,
        }
    }
}

/// Everything there is to search.
pub(super) struct Loads {
    graph: HnswGraph,
    /// The links that were built with the default.
    links: Vec<LevelLinks>,
    /// Vectors that are not linked.
    plain: HnswGraph,
    queries: Vec<f32>,
    /// Neighbours that are asked for by tiles.
    tiled: usize,
}

impl Loads {
    /// Makes vectors up and builds their graph with the default tuning; `step` is told before each of both.
    pub(super) fn new(
        context: &Context,
        options: &TuneOptions,
        default: Tuning,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        // By the inner product of unit vectors: no query is looked at a second time for being hard.
        let empty = || {
            let metric = DistanceMetric::DotProduct;
            let mut graph =
                HnswGraph::new(context, DIMENSION, metric, CollectionOptions::default())?;
            graph.set_tuning(default);
            Ok(graph)
        };
        step()?;
        let mut cloud = Cloud::new();
        let mut graph: HnswGraph = empty()?;
        graph.append(&cloud.rows(options.rows))?;
        graph.build(|_| ControlFlow::Continue(()))?;
        let links = links(&graph)?;
        let queries = cloud.rows(options.queries);
        step()?;
        let mut plain = empty()?;
        plain.reserve(EXACT_SHARE * options.rows)?;
        for _ in 0..EXACT_SHARE {
            plain.append(&cloud.rows(options.rows))?;
        }
        Ok(Self {
            graph,
            links,
            plain,
            queries,
            tiled: if context.tier().matrices.is_empty() {
                K
            } else {
                LONGER
            },
        })
    }

    /// The work in words.
    pub(super) fn describe(&self, load: Load) -> String {
        let all = self.queries.len() / DIMENSION;
        let (linked, plain) = (self.graph.len(), self.plain.len());
        match load {
            Load::Many => format!("{all} queries in one call among {linked}, ef {NARROW}"),
            Load::Alone => format!(
                "{} queries one by one among {linked}, ef {NARROW}",
                ALONE.min(all)
            ),
            Load::Between => {
                let sizes: Vec<String> = between(all).map(|size| size.to_string()).collect();
                format!(
                    "{} queries in calls of {} each among {linked}, ef {NARROW}",
                    all.min(BETWEEN[BETWEEN.len() - 1]),
                    sizes.join(", ")
                )
            }
            Load::Wide => format!("{all} queries in one call among {linked}, ef {WIDE}"),
            Load::Tiles => format!(
                "{} queries in one call, exactly, among {plain}, k {}",
                TILED.min(all),
                self.tiled
            ),
            Load::Scan => format!(
                "{} queries one by one, exactly, among {plain}",
                ALONE.min(all)
            ),
        }
    }

    /// Answers once with a tuning.
    pub(super) fn answers(&mut self, load: Load, tuning: Tuning) -> Result<Vec<Hits>> {
        let tuning = match load {
            // However few the queries are, they are to be walked as many.
            Load::Many | Load::Wide => Tuning {
                few_walks: 16,
                ..tuning
            },
            _ => tuning,
        };
        self.graph.set_tuning(tuning);
        self.plain.set_tuning(tuning);
        let all = self.queries.len() / DIMENSION;
        let some = |count: usize| &self.queries[..count.min(all) * DIMENSION];
        let walk = |queries: &[f32], ef| {
            let options = SearchOptions {
                ef: Some(ef),
                path: SearchPath::Graph,
                ..SearchOptions::default()
            };
            Ok(self.graph.search(queries, K, &options)?.hits)
        };
        let compare = |queries: &[f32], k| {
            let options = SearchOptions {
                path: SearchPath::Exact,
                ..SearchOptions::default()
            };
            Ok(self.plain.search(queries, k, &options)?.hits)
        };
        match load {
            Load::Many => Ok(vec![walk(&self.queries, NARROW)?]),
            Load::Wide => Ok(vec![walk(&self.queries, WIDE)?]),
            Load::Alone => some(ALONE)
                .chunks_exact(DIMENSION)
                .map(|query| walk(query, NARROW))
                .collect(),
            Load::Between => between(all)
                .flat_map(|size| some(BETWEEN[BETWEEN.len() - 1]).chunks(size * DIMENSION))
                .map(|queries| walk(queries, NARROW))
                .collect(),
            Load::Tiles => Ok(vec![compare(some(TILED), self.tiled)?]),
            Load::Scan => some(ALONE)
                .chunks_exact(DIMENSION)
                .map(|query| compare(query, K))
                .collect(),
        }
    }

    /// How long that takes, in milliseconds.
    pub(super) fn time(&mut self, load: Load, tuning: Tuning) -> Result<f64> {
        let start = Instant::now();
        self.answers(load, tuning)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    /// Whether the same graph is built with another tuning.
    pub(super) fn builds_the_same(&mut self, tuning: Tuning) -> Result<bool> {
        self.graph.set_tuning(tuning);
        self.graph.rebuild(|_| ControlFlow::Continue(()))?;
        Ok(links(&self.graph)? == self.links)
    }
}

/// Sizes of calls up to `all` queries.
fn between(all: usize) -> impl Iterator<Item = usize> {
    BETWEEN.into_iter().filter(move |size| *size <= all)
}

fn links(graph: &HnswGraph) -> Result<Vec<LevelLinks>> {
    (0..=graph.stats().top_level)
        .map(|level| graph.links(level))
        .collect()
}

/// Unit vectors about a few hundred centres, as vectors of real things are: the same for every device and every run.
struct Cloud {
    dice: u64,
    centres: Vec<f32>,
}

/// How far from their centre vectors lie, where centres are one apart on every axis.
const SPREAD: f32 = 0.5;
const CENTRES: usize = 256;

impl Cloud {
    fn new() -> Self {
        let mut cloud = Self {
            dice: 0x9e37_79b9_7f4a_7c15,
            centres: Vec::new(),
        };
        cloud.centres = (0..CENTRES * DIMENSION).map(|_| cloud.number()).collect();
        cloud
    }

    fn next(&mut self) -> u64 {
        // SplitMix64, of Steele, Lea and Flood.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.dice;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From -1 to 1.
    fn number(&mut self) -> f32 {
        let bits = u16::try_from(self.next() >> 48).unwrap_or(0);
        f32::from(bits) / 32_768.0 - 1.0
    }

    /// The next rows, end to end.
    fn rows(&mut self, rows: usize) -> Vec<f32> {
        let mut all = Vec::with_capacity(rows * DIMENSION);
        for _ in 0..rows {
            let centre = usize::try_from(self.next() % CENTRES as u64).unwrap_or(0) * DIMENSION;
            let start = all.len();
            for at in centre..centre + DIMENSION {
                let number = self.centres[at] + SPREAD * self.number();
                all.push(number);
            }
            let length = all[start..].iter().map(|x| x * x).sum::<f32>().sqrt();
            all[start..].iter_mut().for_each(|x| *x /= length);
        }
        all
    }
}
