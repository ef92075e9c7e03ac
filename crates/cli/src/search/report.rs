//! What a search has to say: as one JSON document, or as a table.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use vectorizer::collection::Fallback;
use vectorizer::config::{FullRows, Precision, SearchPath};
use vectorizer::engine::Counters;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::thousands;

use crate::args::SearchArguments;
use crate::failure::Result;
use crate::figures::{bytes, counted, rate, time};
use crate::memory::Memory;

/// All of it. As JSON, the fields of the last row stand beside the others.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) device: String,
    pub(super) backend: String,
    pub(super) reason: String,
    pub(super) metric: DistanceMetric,
    pub(super) count: usize,
    pub(super) dimension: usize,
    pub(super) element: String,
    pub(super) queries: usize,
    pub(super) k: usize,
    pub(super) threads: usize,
    pub(super) m: Option<usize>,
    pub(super) ef_construction: Option<usize>,
    pub(super) seed: Option<u64>,
    pub(super) precision: Precision,
    /// Bytes of the vectors in that form.
    pub(super) searched_row_bytes: u64,
    pub(super) full_rows: FullRows,
    /// Bytes of RAM for vectors and links beside those on the device.
    pub(super) ram_bytes: u64,
    /// What opening a collection took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_ms: Option<f64>,
    pub(super) read_ms: f64,
    pub(super) add_ms: f64,
    pub(super) build_ms: f64,
    pub(super) build_counters: Counters,
    #[serde(flatten)]
    pub(super) memory: Memory,
    pub(super) rows: Vec<Row>,
}

/// What one beam width, or the exact search, came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) path: SearchPath,
    pub(super) ef: Option<usize>,
    pub(super) recall: Option<f64>,
    pub(super) search_ms: f64,
    pub(super) qps: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) single_queries: usize,
    /// The work of the search of all queries.
    pub(super) counters: Counters,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(flatten)]
    last: Option<&'a Row>,
}

impl Report {
    pub(super) fn print_json(&self) -> Result<()> {
        let document = Document {
            report: self,
            last: self.rows.last(),
        };
        let mut text = serde_json::to_string(&document).map_err(std::io::Error::from)?;
        text.push('\n');
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    pub(super) fn print_text(&self, arguments: &SearchArguments) -> Result<()> {
        let ms = |ms: f64| time(Duration::from_secs_f64(ms / 1e3));
        let mut lines = vec![
            format!(
                "device     {} ({}): {}",
                self.device, self.backend, self.reason
            ),
            format!(
                "{:10} {} x {} {}, {}: {}",
                if arguments.index.is_some() {
                    "collection"
                } else {
                    "base"
                },
                thousands(self.count),
                self.dimension,
                self.element,
                self.metric,
                arguments
                    .index
                    .as_ref()
                    .or(arguments.base.as_ref())
                    .map_or_else(String::new, |path| path.display().to_string())
            ),
            format!(
                "queries    {}, k {}: {}",
                thousands(self.queries),
                self.k,
                arguments.queries.display()
            ),
            match self.open_ms {
                Some(open) => format!("opened     in {}", ms(open)),
                None => format!(
                    "added      in {}, read in {}",
                    ms(self.add_ms),
                    ms(self.read_ms)
                ),
            },
        ];
        if let (Some(m), Some(ef), Some(seed)) = (self.m, self.ef_construction, self.seed) {
            let built = match self.open_ms {
                Some(_) => String::new(),
                None => format!(", built in {}", ms(self.build_ms)),
            };
            lines.push(format!(
                "graph      M {m}, ef_construction {ef}, seed {seed}{built}"
            ));
            if !self.precision.is_full() {
                lines.push(format!(
                    "walked     in {}: {} of rows; what is found is scored again in f32",
                    self.precision,
                    bytes(self.searched_row_bytes)
                ));
            }
        }
        lines.push(format!(
            "memory     {} on the device, {} at the peak; {:.1} % of it holds data",
            bytes(self.memory.vram_bytes),
            bytes(self.memory.vram_peak_bytes),
            self.memory.vram_efficiency * 100.0
        ));
        if self.ram_bytes > 0 {
            lines.push(format!(
                "           {} in RAM: the vectors themselves, and the links once more",
                bytes(self.ram_bytes)
            ));
        }
        if let Some(Fallback {
            device,
            why,
            vectors,
            ..
        }) = &self.memory.fallback
        {
            lines.push(format!(
                "in RAM     since {} were on {device}: {why}",
                counted(*vectors, "vector", "vectors")
            ));
        }
        lines.push(String::new());
        lines.push(format!(
            "{:>5} {:>6} {:>10} {:>12} {:>12} {:>10} {:>10} {:>15}",
            "path",
            "ef",
            format!("recall@{}", self.k),
            "all queries",
            "queries/s",
            "p50 us",
            "p99 us",
            "distances/query"
        ));
        for row in &self.rows {
            lines.push(format!(
                "{:>5} {:>6} {:>10} {:>12} {:>12} {:>10} {:>10} {:>15}",
                match row.path {
                    SearchPath::Graph => "graph",
                    _ => "exact",
                },
                row.ef.map_or_else(|| "-".to_owned(), |ef| ef.to_string()),
                row.recall
                    .map_or_else(|| "-".to_owned(), |recall| format!("{recall:.4}")),
                ms(row.search_ms),
                rate(row.qps),
                rate(row.p50_us),
                rate(row.p99_us),
                rate(per_query(row.counters.distances, self.queries)),
            ));
        }
        lines.push(String::new());
        let singles = self.rows.iter().map(|row| row.single_queries).min();
        lines.push(format!(
            "queries/s of all queries in batches; p50 and p99 of {} one at a time",
            counted(singles.unwrap_or_default(), "query", "queries")
        ));
        if let Some(out) = &arguments.out {
            lines.push(format!("found: {}", out.display()));
        }
        lines.push(String::new());
        Ok(std::io::stdout().write_all(lines.join("\n").as_bytes())?)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an average is shown with a few digits"
)]
fn per_query(total: u64, queries: usize) -> f64 {
    total as f64 / queries as f64
}
