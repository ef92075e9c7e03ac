//! What a bench writes down: one JSON object a line, so that runs can be added to each other, plotted and compared.
//!
//! The first line says what was measured and where ([`Run`]); then come, for each round and each [`Subject`], how it was built
//! ([`Build`]), what it reached ([`Point`]) and the memory it took over time ([`Memory`]).

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::machine::Machine;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// What and where.
    Run(Run),
    /// How a graph was built.
    Build(Build),
    /// What a search reached.
    Point(Point),
    /// Memory over time.
    Memory(Memory),
    /// A peer that could not be measured, and why.
    Failed {
        /// Who.
        engine: String,
        /// In which round.
        round: usize,
        /// Why.
        reason: String,
    },
}

/// What was measured, on which data, where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The program's version.
    pub version: String,
    /// When it began, in UTC.
    pub when: String,
    /// Where.
    pub machine: Machine,
    /// Work waiting on the machine when it began.
    pub load_average: Option<f64>,
    /// CPUs that others kept busy meanwhile, on average; known at the end, in a second line of this kind.
    pub other_cpu: Option<f64>,
    /// The data's name.
    pub data: String,
    /// `euclidean`, `cosine` or `dot`.
    pub metric: String,
    /// Rows of the base.
    pub rows: usize,
    /// Numbers in a row.
    pub dimension: usize,
    /// How many queries.
    pub queries: usize,
    /// Neighbours that are asked for.
    pub k: usize,
    /// How often everything is measured.
    pub rounds: usize,
}

/// Who is measured, and how it is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// `vectorizer`, or a peer's name.
    pub engine: String,
    /// Where it ran: `cpu`, or an adapter's name.
    pub device: String,
    /// Threads it had; 0 where a GPU does the work.
    pub threads: usize,
    /// Links a vector makes.
    pub m: usize,
    /// Beam width while building.
    pub ef_construction: usize,
    /// What rows are searched in: `f32`.
    pub precision: String,
    /// Where the rows themselves are if walks compare another form: `device`, which goes without saying, or `ram`.
    #[serde(default = "on_device", skip_serializing_if = "is_on_device")]
    pub full_rows: String,
}

fn on_device() -> String {
    "device".to_owned()
}

fn is_on_device(place: &str) -> bool {
    place == "device"
}

/// How a subject was built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Who.
    #[serde(flatten)]
    pub subject: Subject,
    /// In which round.
    pub round: usize,
    /// Seconds to add and link all rows.
    pub seconds: f64,
    /// Scores computed for each row, where they are counted.
    pub distances: Option<f64>,
    /// Rows of links read for each row.
    pub hops: Option<f64>,
    /// Memory of the process that came with it, in bytes.
    pub resident_bytes: Option<u64>,
    /// Memory of the device that it takes, and the most it took.
    pub device_bytes: Option<u64>,
    /// See `device_bytes`.
    pub device_peak_bytes: Option<u64>,
    /// Whether every slot of the graph can be reached and every rule holds; `None` where nobody can tell.
    pub sound: Option<bool>,
}

/// What a subject reached with one beam width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Who.
    #[serde(flatten)]
    pub subject: Subject,
    /// In which round.
    pub round: usize,
    /// The beam width; `None` for exact search.
    pub ef: Option<usize>,
    /// The recall this width was looked for, being the smallest that reaches it.
    pub target: Option<f64>,
    /// Queries of one call.
    pub batch: usize,
    /// Share of the true neighbours found.
    pub recall: f64,
    /// Queries a second.
    pub qps: f64,
    /// Microseconds of a single query, the median.
    pub p50_us: Option<f64>,
    /// And of the slowest in a hundred.
    pub p99_us: Option<f64>,
    /// Scores computed for a query.
    pub distances: Option<f64>,
    /// Rows of links read for a query.
    pub hops: Option<f64>,
    /// Bytes of rows and links read for a query.
    pub bytes: Option<f64>,
}

/// The memory of a subject over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Who.
    #[serde(flatten)]
    pub subject: Subject,
    /// In which round.
    pub round: usize,
    /// Seconds at which its building ended.
    pub built: f64,
    /// Seconds since it began, memory of the process, memory of the device, both in bytes.
    pub samples: Vec<(f64, u64, u64)>,
}

/// Reads the lines of a file.
///
/// # Errors
/// The file cannot be read, or a line is not one of these.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(path).map_err(|error| DataError::io(path, "read it", &error))?;
    parse(&text).map_err(|(number, reason)| {
        DataError::new(path, format!("line {number} is none of a bench: {reason}"))
    })
}

/// Lines from text; where one is none, its number and why.
///
/// # Errors
/// A line is not one of these.
pub fn parse(text: &str) -> Result<Vec<Line>, (usize, String)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| (number + 1, error.to_string()))
        })
        .collect()
}

/// A file that lines are added to.
#[derive(Debug)]
pub struct Writer {
    path: std::path::PathBuf,
    file: fs::File,
}

impl Writer {
    /// A new file, in place of what was there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file =
            fs::File::create(path).map_err(|error| DataError::io(path, "write it", &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds a line; it is in the file when this returns, so that a bench that is stopped leaves what it has.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        let failed = |error| DataError::io(&self.path, "write it", &error);
        let mut text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)
    }
}
