//! Everything that can go wrong, each with what was expected, what came, and what to do.

use crate::config::MAX_ID_BYTES;

/// The error of every fallible call of this crate. A call that returns one has changed nothing.
///
/// Errors come with versions, so that a `match` has to say what of the rest. The fields of one stay as they are.
///
/// ```
/// use vectorizer::collection::Collection;
/// use vectorizer::error::VectorizerError;
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), VectorizerError> {
/// let collection = Collection::new(3, DistanceMetric::Cosine)?;
/// match collection.search(&[1.0, 0.0], 5) {
///     Err(VectorizerError::DimensionMismatch { expected, actual }) => assert_eq!((expected, actual), (3, 2)),
///     Err(full) if full.is_full() => println!("no room: {full}"),
///     other => println!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorizerError {
    /// The device, or the limit set for it, has no room for this operation, and the caller decides what now: fewer vectors, a higher
    /// limit, a policy that goes down by itself, or a collection on the CPU engine. What a collection under
    /// [`FallbackPolicy::Report`](crate::config::FallbackPolicy::Report) says; its `stats().fallback` holds limit and need.
    #[error(
        "the device's memory is full: add fewer vectors, raise the limit, let the collection spill to RAM (FallbackPolicy::Spill), \
         or open it on the CPU (VECTORIZER_DEVICE=cpu)"
    )]
    VramFallback,
    /// The search gave no trustworthy answer. `rebuild_hnsw_graph` and another try are the way out.
    #[error("the search gave no trustworthy answer: call rebuild_hnsw_graph() and search again")]
    SearchFailed,
    /// A vector or query of the wrong length.
    #[error(
        "wrong dimension: this collection holds vectors of {expected} components, this one has {actual}"
    )]
    DimensionMismatch {
        /// The collection's dimension.
        expected: usize,
        /// The length that came.
        actual: usize,
    },
    /// The operation would take more device memory than the limit allows. What storages and graphs say, and collections under
    /// [`FallbackPolicy::Forbid`](crate::config::FallbackPolicy::Forbid).
    #[error(
        "device memory limit: {requested} bytes wanted in all, {limit} allowed; raise the limit or store less"
    )]
    VramLimitExceeded {
        /// The limit in force, in bytes.
        limit: u64,
        /// What the operation would have brought the total to, in bytes.
        requested: u64,
    },
    /// The device refused a buffer although the limit allowed it.
    #[error(
        "the device refused to allocate a buffer: other programs may hold its memory; close them or lower the limit"
    )]
    BufferAllocationFailed,
    /// Memory that belongs on the device lies in RAM.
    #[error(
        "{bytes} bytes of {label} lie in RAM and not on the device: make room there, then call return_to_device() on the collections that spilled"
    )]
    NotInVram {
        /// What they are for: rows, graph, pool or kernels.
        label: &'static str,
        /// How many bytes.
        bytes: u64,
    },
    /// A dimension no collection can have.
    #[error("dimension {actual} is not possible: expected 1 to {max}")]
    InvalidDimension {
        /// The dimension that came.
        actual: usize,
        /// The largest possible one.
        max: usize,
    },
    /// A component that is not a number, infinite, or so large that distances would overflow.
    #[error(
        "vector {id:?}: component {index} is {value}; expected finite numbers, with a squared length below {limit:e}: scale the data"
    )]
    InvalidComponent {
        /// The vector's id, or `query` and its place.
        id: String,
        /// Which component.
        index: usize,
        /// What it is.
        value: f32,
        /// The bound on the squared length of a vector.
        limit: f32,
    },
    /// A payload that a reader would not take back as it was: too deep, too long, or with a number that 64 bits do not hold.
    #[error("the payload of {id:?} cannot be kept: {reason}")]
    InvalidPayload {
        /// The vector's id.
        id: String,
        /// What was expected, what came, and what to do.
        reason: String,
    },
    /// A vector or query that is not zero and so short that squares of its components vanish: what differs would be at the same
    /// distance. Not for Cosine, which has unit vectors made of any.
    #[error(
        "vector {id:?} has a squared length of {squared_length:e}; expected 0, or at least {limit:e}: scale the data"
    )]
    VectorTooShort {
        /// The vector's id, or `query` and its place.
        id: String,
        /// What it has.
        squared_length: f64,
        /// The least that is taken.
        limit: f32,
    },
    /// An id of no bytes or of too many.
    #[error("an id has {actual} bytes; expected 1 to {MAX_ID_BYTES}")]
    InvalidId {
        /// How long the id is, in bytes.
        actual: usize,
    },
    /// The id is taken. `upsert_vector` replaces.
    #[error("id {id:?} is already in the collection: use upsert_vector to replace it")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// Two vectors of one batch have the same id.
    #[error("id {id:?} stands in the batch more than once: ids must be unique")]
    DuplicateIdInBatch {
        /// The id.
        id: String,
    },
    /// No vector has this id.
    #[error("no vector with id {id:?} in this collection")]
    UnknownId {
        /// The id.
        id: String,
    },
    /// `k` is zero.
    #[error("k is 0: ask for at least one neighbour")]
    InvalidK,
    /// A beam width outside its bounds.
    #[error("ef is {actual}; expected 1 to {max}: lower it or search exactly")]
    InvalidEf {
        /// The width that came.
        actual: usize,
        /// The widest possible one.
        max: usize,
    },
    /// A filter that cannot be understood.
    #[error("filter: at {at}: expected {expected}, found {found}")]
    InvalidFilter {
        /// Where: the way to it, as in `must[0].range.gt`, or line and column.
        at: String,
        /// What can stand there.
        expected: String,
        /// What stood there.
        found: String,
    },
    /// A search option that needs ids and payloads, given to a graph that has none.
    #[error(
        "the search option {option} needs a collection: a graph alone knows neither ids nor payloads"
    )]
    OptionNeedsCollection {
        /// The option.
        option: &'static str,
    },
    /// A field of the configuration or of a search's options is out of bounds.
    #[error("{field} is {actual}; expected {expected}")]
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// What came.
        actual: String,
        /// What is possible.
        expected: &'static str,
    },
    /// Rows laid end to end that do not end with a row.
    #[error("{values} values are no whole number of rows of {dimension}")]
    ShapeMismatch {
        /// How many numbers came.
        values: usize,
        /// The dimension.
        dimension: usize,
    },
    /// Ids and vectors of one call do not match in number.
    #[error("{ids} ids came for {vectors} vectors; expected one for each")]
    CountMismatch {
        /// How many ids came.
        ids: usize,
        /// How many vectors came.
        vectors: usize,
    },
    /// More vectors than slots can number.
    #[error("a collection holds at most {max} vectors; {requested} were asked for")]
    TooManyVectors {
        /// The bound.
        max: usize,
        /// How many there would have been.
        requested: usize,
    },
    /// No device of the kind asked for.
    #[error("no such device: {wanted}. {advice}")]
    NoDevice {
        /// What was asked for.
        wanted: String,
        /// What is there, and what to install or set.
        advice: String,
    },
    /// The device reported an error of its own.
    #[error("the device {device} failed: {reason}")]
    DeviceFailed {
        /// The device's name.
        device: String,
        /// Its own words.
        reason: String,
    },
    /// The device is gone (unplugged, reset, or its driver gave up).
    #[error(
        "the device {device} was lost: open the collection again, on this device or on the CPU (VECTORIZER_DEVICE=cpu)"
    )]
    DeviceLost {
        /// The device's name.
        device: String,
    },
    /// A function of the caller's, called by a collection while it holds writers back, tried to change that collection: it would wait for
    /// itself.
    #[error(
        "this thread is inside a function that the collection calls while it holds writers back (the progress of an export, or a predicate \
         of delete_by): it can read the collection there; change it when that call has returned"
    )]
    InsideCallback,
    /// A forked child process used what only its parent can use.
    #[error(
        "this process was forked from the one that opened the collection or device, and cannot do this with it: {reason}; open it in the \
         child, after the fork"
    )]
    Forked {
        /// What stands in the way.
        reason: &'static str,
    },
    /// The caller asked for a stop.
    #[error("stopped at the caller's wish; what was finished before stays")]
    Cancelled,
    /// There is no collection in this folder.
    #[error("there is no collection at {path}: create one first")]
    StoreMissing {
        /// The folder.
        path: String,
    },
    /// A collection cannot be made where one is.
    #[error("there is a collection at {path} already: open it, or choose another folder")]
    StoreExists {
        /// The folder.
        path: String,
    },
    /// Somebody has the collection open: another program, or this one.
    #[error(
        "the collection at {path} is open elsewhere: one at a time can have it; close it there first"
    )]
    StoreInUse {
        /// The folder.
        path: String,
    },
    /// The collection may only be read: it was opened so, or its files belong to somebody else or lie on a read-only medium.
    #[error(
        "the collection at {path} can only be read: open it with Collection::open_read_only to search it, or copy it to where it may be written"
    )]
    StoreReadOnly {
        /// The folder.
        path: String,
    },
    /// The program that had it open last did not close it, and whoever only reads cannot repair that.
    #[error(
        "the collection at {path} was not closed by the program that had it last: open it once where it may be written, which repairs it"
    )]
    StoreNotClosed {
        /// The folder.
        path: String,
    },
    /// A file says that another version wrote it, which this one does not know.
    #[error(
        "the collection at {path} is of format {found}; this version reads {supported}: use the version that wrote it"
    )]
    UnsupportedFormat {
        /// The folder.
        path: String,
        /// The format of the file.
        found: String,
        /// What is known here.
        supported: String,
    },
    /// The store's bytes are not what was written.
    #[error("the collection at {path} is damaged: {reason}; restore it from a copy")]
    StoreDamaged {
        /// The folder.
        path: String,
        /// What was found.
        reason: String,
    },
    /// The disk refused, or the store was closed.
    #[error("the collection at {path} could not be read or written: {reason}")]
    StoreFailed {
        /// The folder.
        path: String,
        /// What was said.
        reason: String,
    },
    /// Something that a collection in memory cannot do.
    #[error("this collection is in memory alone: make it with Collection::create to keep it")]
    NotDurable,
    /// The system refused to read or write a file.
    #[error("{path}: {reason}")]
    FileFailed {
        /// Which file.
        path: String,
        /// The system's own words.
        reason: String,
    },
    /// A file that is not what it should be, or that cannot say what it is asked to.
    #[error("{path}: {reason}")]
    FileRefused {
        /// Which file.
        path: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A vector of a file was refused by the collection.
    #[error("{path}: {place}: {error}")]
    InFile {
        /// Which file.
        path: String,
        /// Where in it: `line 7` of text, counted from 1; `row 6` of a table, counted from 0.
        place: String,
        /// Why.
        error: Box<VectorizerError>,
    },
    /// An output would take the place of a file that it must not destroy.
    #[error("{path}: writing there would overwrite {holds}; choose another file")]
    WouldOverwrite {
        /// The output.
        path: String,
        /// What is there.
        holds: &'static str,
    },
    /// `check` found a graph that breaks its own rules.
    #[error("the graph is damaged: {reason}; call rebuild_hnsw_graph()")]
    GraphDamaged {
        /// The first broken rule.
        reason: String,
    },
    /// Tuning was asked for on the CPU engine.
    #[error(
        "there is nothing to tune on {device}: only a GPU's work is cut up in ways that can be chosen; name one (VECTORIZER_DEVICE=gpu)"
    )]
    NothingToTune {
        /// The device's name.
        device: String,
    },
}

impl VectorizerError {
    /// Whether a limit or the device itself left no room: what a [`FallbackPolicy`](crate::config::FallbackPolicy) is about.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self,
            Self::VramFallback | Self::VramLimitExceeded { .. } | Self::BufferAllocationFailed
        )
    }

    /// Whether what was asked for cannot be: arguments, ids, filters, files of another form. The same call fails again, on every machine. Of the
    /// other errors a device, memory, a disk, damage or another program is the cause.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        // Every variant by name: a new one has to be put on one of the sides.
        match self {
            Self::DimensionMismatch { .. }
            | Self::InvalidDimension { .. }
            | Self::InvalidComponent { .. }
            | Self::InvalidId { .. }
            | Self::DuplicateId { .. }
            | Self::DuplicateIdInBatch { .. }
            | Self::UnknownId { .. }
            | Self::InvalidK
            | Self::InvalidEf { .. }
            | Self::InvalidFilter { .. }
            | Self::OptionNeedsCollection { .. }
            | Self::InvalidConfig { .. }
            | Self::ShapeMismatch { .. }
            | Self::CountMismatch { .. }
            | Self::TooManyVectors { .. }
            | Self::NoDevice { .. }
            | Self::StoreMissing { .. }
            | Self::StoreExists { .. }
            | Self::UnsupportedFormat { .. }
            | Self::NotDurable
            | Self::FileRefused { .. }
            | Self::InvalidPayload { .. }
            | Self::VectorTooShort { .. }
            | Self::InsideCallback
            | Self::WouldOverwrite { .. }
            | Self::Forked { .. }
            | Self::NothingToTune { .. } => true,
            Self::InFile { error, .. } => error.is_usage(),
            Self::VramFallback
            | Self::SearchFailed
            | Self::VramLimitExceeded { .. }
            | Self::BufferAllocationFailed
            | Self::NotInVram { .. }
            | Self::DeviceFailed { .. }
            | Self::DeviceLost { .. }
            | Self::Cancelled
            | Self::StoreInUse { .. }
            | Self::StoreNotClosed { .. }
            | Self::StoreReadOnly { .. }
            | Self::StoreDamaged { .. }
            | Self::StoreFailed { .. }
            | Self::FileFailed { .. }
            | Self::GraphDamaged { .. } => false,
        }
    }
}

/// What every fallible call returns.
pub type Result<T, E = VectorizerError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    #[test]
    fn the_guide_has_a_row_for_every_error() {
        let guide = include_str!("../../../docs/METAL_NATIVE_ERROR_HANDLING_GUIDE.md");
        let source = include_str!("error.rs");
        let (_, body) = source.split_once("pub enum VectorizerError {").unwrap();
        let (body, _) = body.split_once("\n}\n").unwrap();
        let variants: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(char::is_uppercase))
            .map(|line| line.trim_end_matches([' ', '{', ',']))
            .collect();
        assert!(variants.len() > 30, "{variants:?}");
        for variant in variants {
            let row = format!("\n| `{variant}");
            assert!(
                guide.contains(&row),
                "the guide to errors has no row for {variant}"
            );
        }
    }
}
