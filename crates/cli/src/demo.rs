//! `vectorizer demo`: real text in, readable hits out, with all figures that matter.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, SearchOptions, SearchPath};
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};
use vectorizer_bench::thousands;

use crate::args::DemoArguments;
use crate::failure::Result;
use crate::figures::{counted, time};
use crate::progress::Stage;

mod embedder;
mod paragraphs;

use embedder::{DIMENSION, Embedder};
use paragraphs::{Paragraph, Texts};

/// What is asked of this repository where nobody asks.
const QUESTIONS: [&str; 4] = [
    "what happens when device memory runs out",
    "how are ties between equal distances ordered",
    "which device is chosen when there is no GPU",
    "read a .npy file of float16 numbers",
];
/// Hits shown for each question.
const SHOWN: usize = 3;
/// Paragraphs of this repository that quote a question (the source above is one) are no answer to it; so many are expected.
const QUOTERS: usize = 3;
/// Lines shown of each hit.
const LINES: usize = 2;
/// Paragraphs added in one call.
const BATCH: usize = 1_000;
/// Questions that recall is measured with, at most, and the neighbours of each.
const PROBES: usize = 500;
const PROBE_K: usize = 10;

pub(crate) fn run(arguments: &DemoArguments) -> Result<()> {
    let mut out = std::io::stdout();
    let root = arguments.path.clone().unwrap_or_else(repository);

    let start = Instant::now();
    let stage = Stage::begin(false, "reading files", None);
    let Texts { paragraphs, files } = paragraphs::read(&root, |files| stage.at(files))?;
    drop(stage);
    let read = start.elapsed();

    let context = arguments.collection.open()?;
    writeln!(
        out,
        "device     {} ({}): {}",
        context.device_name(),
        context.backend(),
        context.reason()
    )?;
    writeln!(
        out,
        "read       {} from {} under {} in {}",
        counted(paragraphs.len(), "paragraph", "paragraphs"),
        counted(files, "file", "files"),
        root.display(),
        time(read)
    )?;

    let start = Instant::now();
    let embedder = Embedder::learn(paragraphs.iter().map(|p| p.text.as_str()));
    let vectors: Vec<Vector> = paragraphs
        .par_iter()
        .map(|p| vector(&embedder, p))
        .collect();
    writeln!(
        out,
        "embedded   as vectors of {DIMENSION} numbers in {}, by hashing words and pieces of words:\n           \
         a stand-in that knows spelling, not meaning, where a real embedding model would be",
        time(start.elapsed())
    )?;

    let collection = Collection::with_context(
        &context,
        DIMENSION,
        DistanceMetric::Cosine,
        CollectionOptions {
            fallback: arguments.collection.policy(),
            ..CollectionOptions::default()
        },
    )?;
    let (add, build) = fill(&collection, &vectors)?;
    let hnsw = collection.options().hnsw;
    writeln!(out, "added      in {}", time(add))?;
    writeln!(
        out,
        "graph      M {}, ef_construction {}, linked in {}",
        hnsw.max_connections,
        hnsw.ef_construction,
        time(build)
    )?;

    for question in questions(arguments, &paragraphs) {
        let query = embedder.embed(&question);
        let options = SearchOptions {
            with_payload: true,
            ..SearchOptions::default()
        };
        let start = Instant::now();
        let hits = collection.search_with(&query, SHOWN + QUOTERS, &options)?;
        let took = start.elapsed();
        writeln!(out, "\n\"{question}\"  ({})", time(took))?;
        let answers = hits
            .iter()
            .filter(|hit| arguments.path.is_some() || !text_of(hit).contains(&question));
        for hit in answers.take(SHOWN) {
            show(&mut out, hit, &embedder, &query)?;
        }
    }

    writeln!(out)?;
    measure(&mut out, &collection, &vectors)?;
    writeln!(
        out,
        "\n{}",
        VramMonitor::new(context.device()).generate_vram_report()
    )?;
    Ok(())
}

/// This repository: around the current folder, else where the command was built, else just the current folder.
fn repository() -> PathBuf {
    let is_ours = |folder: &Path| folder.join("crates/vectorizer/Cargo.toml").is_file();
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .chain(built.ancestors())
        .find(|folder| is_ours(folder))
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn vector(embedder: &Embedder, paragraph: &Paragraph) -> Vector {
    let Paragraph { file, line, text } = paragraph;
    Vector {
        id: format!("{file}:{line}"),
        data: embedder.embed(text),
        payload: Some(Payload(
            serde_json::json!({ "file": file, "line": line, "text": text }),
        )),
    }
}

/// Adds all vectors and links them; says how long each took.
fn fill(collection: &Collection, vectors: &[Vector]) -> Result<(Duration, Duration)> {
    let stage = Stage::begin(false, "adding vectors", vectors.len());
    let start = Instant::now();
    for (batch, vectors) in vectors.chunks(BATCH).enumerate() {
        collection.add_vectors_batch(vectors)?;
        stage.at(batch * BATCH + vectors.len());
    }
    let add = start.elapsed();
    drop(stage);
    let stage = Stage::begin(false, "linking the graph", vectors.len());
    let start = Instant::now();
    collection.optimize_with(|progress| {
        stage.at(progress.linked);
        ControlFlow::Continue(())
    })?;
    Ok((add, start.elapsed()))
}

/// What to ask: what the caller wants to know; of this repository, the prepared questions; of other texts, the beginnings of
/// some of their own paragraphs.
fn questions(arguments: &DemoArguments, paragraphs: &[Paragraph]) -> Vec<String> {
    if !arguments.query.is_empty() {
        return arguments.query.clone();
    }
    if arguments.path.is_none() {
        return QUESTIONS.map(str::to_owned).to_vec();
    }
    let step = paragraphs.len().div_ceil(3).max(1);
    let some = paragraphs.iter().step_by(step);
    some.map(|p| {
        p.text
            .split_whitespace()
            .take(8)
            .collect::<Vec<_>>()
            .join(" ")
    })
    .collect()
}

fn text_of(hit: &SearchResult) -> &str {
    let payload = hit.payload.as_ref().map(|payload| &payload.0);
    payload
        .and_then(|payload| payload["text"].as_str())
        .unwrap_or_default()
}

/// A hit with the lines of it that are most like the query.
fn show(
    out: &mut impl std::io::Write,
    hit: &SearchResult,
    embedder: &Embedder,
    query: &[f32],
) -> Result<()> {
    writeln!(out, "  {:.3}  {}", hit.similarity, hit.id)?;
    let lines: Vec<&str> = text_of(hit).lines().map(str::trim).collect();
    let likeness = |line: &str| -> f32 {
        let vector = embedder.embed(line);
        vector.iter().zip(query).map(|(a, b)| a * b).sum()
    };
    let first = (0..lines.len())
        .max_by(|a, b| {
            let (a_is, b_is) = (likeness(lines[*a]), likeness(lines[*b]));
            a_is.total_cmp(&b_is).then(b.cmp(a))
        })
        .unwrap_or_default()
        .min(lines.len().saturating_sub(LINES));
    for line in lines.iter().skip(first).take(LINES) {
        let mut short: String = line
            .chars()
            .filter(|letter| !letter.is_control())
            .take(96)
            .collect();
        if short.len() < line.len() {
            short.push_str("...");
        }
        writeln!(out, "         {short}")?;
    }
    Ok(())
}

/// Asks for the neighbours of some of the paragraphs both ways, and compares.
fn measure(
    out: &mut impl std::io::Write,
    collection: &Collection,
    vectors: &[Vector],
) -> Result<()> {
    let step = vectors.len().div_ceil(PROBES).max(1);
    let probes: Vec<&[f32]> = vectors
        .iter()
        .step_by(step)
        .map(|vector| vector.data.as_slice())
        .collect();
    let ask = |path| {
        let options = SearchOptions {
            path,
            ..SearchOptions::default()
        };
        let start = Instant::now();
        let lists = collection.search_batch_with(&probes, PROBE_K, &options)?;
        Ok::<_, vectorizer::error::VectorizerError>((lists, start.elapsed()))
    };
    let (exact, exact_time) = ask(SearchPath::Exact)?;
    let (graph, graph_time) = ask(SearchPath::Graph)?;
    let (chosen, chosen_time) = ask(SearchPath::Auto)?;
    let path = match collection.stats().graph.last_path {
        Some(SearchPath::Graph) => "the graph",
        _ => "comparing all",
    };
    writeln!(
        out,
        "{} of {} in one call, the {PROBE_K} nearest of each:",
        counted(probes.len(), "search", "searches"),
        counted(vectors.len(), "vector", "vectors")
    )?;
    for (name, lists, took) in [
        ("by the graph".to_owned(), &graph, graph_time),
        ("exactly".to_owned(), &exact, exact_time),
        (format!("as it chooses ({path})"), &chosen, chosen_time),
    ] {
        writeln!(
            out,
            "  {name:<32} {:>9}  {:>9} queries/s  recall {:.4}",
            time(took),
            thousands(per_second(probes.len(), took)),
            recall(&exact, lists)
        )?;
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate, shown as a whole number"
)]
fn per_second(number: usize, took: Duration) -> usize {
    (number as f64 / took.as_secs_f64().max(1e-9)).round() as usize
}

/// The share of the exact results that were found, a tie at the last place counting as found.
#[expect(
    clippy::cast_precision_loss,
    reason = "some thousands of hits are counted"
)]
fn recall(exact: &[Vec<SearchResult>], found: &[Vec<SearchResult>]) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for (exact, found) in exact.iter().zip(found) {
        let Some(last) = exact.last() else { continue };
        hits += found
            .iter()
            .filter(|hit| hit.distance <= last.distance)
            .count();
        all += exact.len();
    }
    hits as f64 / all.max(1) as f64
}
