//! Vectors on a device, by slot: checked at the door, made unit where the metric wants it, given back as they came.

use std::ops::Range;

use crate::config::{CollectionOptions, FullRows, MAX_DIMENSION, Precision};
use crate::engine::code::{self, Unit};
use crate::engine::cpu::pool::{Pool, Purpose};
use crate::engine::{self, Engine, Hits, Layout, MAX_SLOTS, Staged, slot};
use crate::error::{Result, VectorizerError};
use crate::gpu::context::{Context, Device};
use crate::models::DistanceMetric;

mod copy;
mod equal;
mod originals;

use equal::{EqualRows, Mark};
use originals::{Originals, StagedOriginals};

/// The bound on a vector's squared length for Euclidean and the dot product: beyond it f32 distances could overflow.
pub const MAX_SQUARED_LENGTH: f32 = f32::MAX / 16.0;

/// The bound on the squared length of a vector that is not zero, 2^-80, for Euclidean and the dot product: below it the squares and products
/// that distances are made of vanish in f32, and what differs would tie. Above it differences of a thousandth of a vector's length
/// keep their precision, whatever its single components are: tiny ones beside ordinary ones are lost to rounding alone.
pub const MIN_SQUARED_LENGTH: f32 = f32::from_bits(47 << 23);

/// Vectors in the memory of one device, numbered by slot in the order they came.
///
/// This is the layer below [`HnswGraph`](crate::hnsw::HnswGraph) and [`Collection`](crate::collection::Collection): no ids, no links.
/// A search compares every vector.
///
/// ```
/// use vectorizer::gpu::metal_native::{MetalNativeContext, MetalNativeVectorStorage};
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let context = MetalNativeContext::new()?;
/// let mut storage = MetalNativeVectorStorage::new(&context, 2, DistanceMetric::Euclidean)?;
/// let slots = storage.append(&[0.0, 0.0, 3.0, 4.0])?;
/// assert_eq!(slots, 0..2);
/// let hits = storage.search(&[3.0, 3.0], 1)?;
/// assert_eq!(hits.of(0)[0].slot, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VectorStorage {
    engine: Box<dyn Engine>,
    device: Device,
    metric: DistanceMetric,
    threads: usize,
    /// Makes vectors unit.
    pool: Pool,
    originals: Option<Originals>,
    equal: EqualRows,
}

/// Where vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Whoever calls.
    Caller,
    /// A file that they were written to.
    Store,
}

/// Rows that are on the device and not yet visible.
#[derive(Debug)]
pub(crate) struct StagedRows {
    rows: Staged,
    originals: Option<StagedOriginals>,
    marks: Vec<Mark>,
}

impl VectorStorage {
    /// An empty storage on the context's device, on all cores where that is the CPU.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidDimension`], or the device failed.
    pub fn new(context: &Context, dimension: usize, metric: DistanceMetric) -> Result<Self> {
        Self::with_options(context, dimension, metric, &CollectionOptions::default())
    }

    /// The same for a graph of these options: with the width that rows of links will have, a number of threads, and the form of the rows
    /// that walks compare.
    pub(crate) fn with_options(
        context: &Context,
        dimension: usize,
        metric: DistanceMetric,
        options: &CollectionOptions,
    ) -> Result<Self> {
        if !(1..=MAX_DIMENSION).contains(&dimension) {
            return Err(VectorizerError::InvalidDimension {
                actual: dimension,
                max: MAX_DIMENSION,
            });
        }
        let device = context.device();
        let layout = Layout {
            dimension,
            scoring: metric.into(),
            max_connections: options.hnsw.max_connections,
            precision: options.precision,
            full_rows: options.full_rows,
        };
        let engine = engine::open(&device, layout, options.threads)?;
        let originals = (metric == DistanceMetric::Cosine).then(|| Originals::new(dimension));
        Ok(Self {
            engine,
            device,
            metric,
            threads: options.threads,
            pool: Pool::new(options.threads, Purpose::Build),
            originals,
            equal: EqualRows::default(),
        })
    }

    /// Adds vectors, laid end to end, and returns their slots.
    ///
    /// # Errors
    /// [`VectorizerError::ShapeMismatch`], [`VectorizerError::InvalidComponent`], [`VectorizerError::VectorTooShort`],
    /// [`VectorizerError::TooManyVectors`], no room, or the device failed. Nothing is added then.
    pub fn append(&mut self, rows: &[f32]) -> Result<Range<u32>> {
        let staged = self.stage(rows, &|row| format!("row {row}"))?;
        Ok(self.commit(staged))
    }

    /// As [`Self::append`], of rows that were stored: what an earlier version took stays readable.
    pub(crate) fn append_stored(&mut self, rows: &[f32]) -> Result<Range<u32>> {
        let staged = self.stage_from(rows, Door::Store, &|row| format!("row {row}"))?;
        Ok(self.commit(staged))
    }

    /// Puts rows on the device without showing them yet; `name` names a row in an error.
    pub(crate) fn stage(&self, rows: &[f32], name: &dyn Fn(usize) -> String) -> Result<StagedRows> {
        self.stage_from(rows, Door::Caller, name)
    }

    /// The same, of rows that were stored.
    pub(crate) fn stage_stored(
        &self,
        rows: &[f32],
        name: &dyn Fn(usize) -> String,
    ) -> Result<StagedRows> {
        self.stage_from(rows, Door::Store, name)
    }

    fn stage_from(
        &self,
        rows: &[f32],
        door: Door,
        name: &dyn Fn(usize) -> String,
    ) -> Result<StagedRows> {
        let count = self.check_shape(rows)?;
        let requested = self.len() + count;
        if requested > MAX_SLOTS {
            return Err(VectorizerError::TooManyVectors {
                max: MAX_SLOTS,
                requested,
            });
        }
        self.check_values(rows, door, name)?;
        if count > 0 {
            self.device.admit(self.engine.room_for_rows(count))?;
        }
        let dimension = self.dimension();
        let Some(originals) = &self.originals else {
            return Ok(StagedRows {
                rows: self.engine.stage_rows(rows)?,
                originals: None,
                marks: EqualRows::stage(rows, dimension, &self.pool),
            });
        };
        let mut units = rows.to_vec();
        let staged = originals.stage(&mut units, &self.pool);
        Ok(StagedRows {
            rows: self.engine.stage_rows(&units)?,
            originals: Some(staged),
            marks: EqualRows::stage(&units, dimension, &self.pool),
        })
    }

    /// Shows staged rows; nothing else may have been committed since they were staged.
    pub(crate) fn commit(&mut self, staged: StagedRows) -> Range<u32> {
        let first = self.len();
        self.engine.commit_rows(staged.rows);
        if let (Some(originals), Some(staged)) = (&mut self.originals, staged.originals) {
            originals.commit(staged);
        }
        self.equal.commit(slot(first), &staged.marks);
        slot(first)..slot(self.len())
    }

    /// The vector in `slot`, bit for bit as it was added; `None` if there is none.
    ///
    /// # Errors
    /// The device failed.
    pub fn get(&self, slot: u32) -> Result<Option<Vec<f32>>> {
        if slot as usize >= self.len() {
            return Ok(None);
        }
        let mut row = vec![0.0; self.dimension()];
        self.engine.read_rows(slot..slot + 1, &mut row)?;
        if let Some(originals) = &self.originals {
            originals.restore(slot, &mut row);
        }
        Ok(Some(row))
    }

    /// The vectors in `slots`, all of which are there, end to end and bit for bit as they were added.
    pub(crate) fn read(&self, slots: Range<u32>) -> Result<Vec<f32>> {
        let mut rows = vec![0.0; slots.len() * self.dimension()];
        self.engine.read_rows(slots.clone(), &mut rows)?;
        if let Some(originals) = &self.originals {
            for (slot, row) in slots.zip(rows.chunks_exact_mut(self.dimension())) {
                originals.restore(slot, row);
            }
        }
        Ok(rows)
    }

    /// The `min(k, len)` nearest vectors for each query (queries laid end to end), nearest first, ties by slot.
    /// Every vector is compared.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidK`], [`VectorizerError::ShapeMismatch`], [`VectorizerError::InvalidComponent`],
    /// [`VectorizerError::VectorTooShort`], no room for the transient buffers, or the device failed.
    pub fn search(&self, queries: &[f32], k: usize) -> Result<Hits> {
        let queries = self.prepare_queries(queries, k)?;
        self.engine
            .exact(&queries, k.min(self.len()), 0..slot(self.len()), None)
    }

    /// Checks queries and makes them what the engine compares.
    pub(crate) fn prepare_queries<'q>(
        &self,
        queries: &'q [f32],
        k: usize,
    ) -> Result<std::borrow::Cow<'q, [f32]>> {
        if k == 0 {
            return Err(VectorizerError::InvalidK);
        }
        self.check_shape(queries)?;
        self.check_values(queries, Door::Caller, &|query| format!("query {query}"))?;
        if self.originals.is_none() {
            return Ok(queries.into());
        }
        let mut units = queries.to_vec();
        for unit in units.chunks_exact_mut(self.dimension()) {
            originals::make_unit(unit);
        }
        Ok(units.into())
    }

    fn check_shape(&self, rows: &[f32]) -> Result<usize> {
        let dimension = self.dimension();
        if !rows.len().is_multiple_of(dimension) {
            return Err(VectorizerError::ShapeMismatch {
                values: rows.len(),
                dimension,
            });
        }
        Ok(rows.len() / dimension)
    }

    /// Says whether vectors could be added; `name` names one that could not.
    pub(crate) fn check_rows(&self, rows: &[f32], name: &dyn Fn(usize) -> String) -> Result<()> {
        self.check_values(rows, Door::Caller, name)
    }

    fn check_values(&self, rows: &[f32], door: Door, name: &dyn Fn(usize) -> String) -> Result<()> {
        // Unit rows cannot overflow or vanish, however long the vector was.
        let bounded = self.originals.is_none();
        for (number, row) in rows.chunks_exact(self.dimension()).enumerate() {
            let squared = originals::squared_length(row);
            // NaN fails the comparison; a sum of finite f64 squares of f32 is finite.
            let fits = if bounded {
                squared <= f64::from(MAX_SQUARED_LENGTH)
            } else {
                squared.is_finite()
            };
            if !fits {
                let worst = row
                    .iter()
                    .position(|x| !x.is_finite())
                    .unwrap_or_else(|| largest(row));
                return Err(VectorizerError::InvalidComponent {
                    id: name(number),
                    index: worst,
                    value: row[worst],
                    limit: MAX_SQUARED_LENGTH,
                });
            }
            let vanishes = squared > 0.0 && squared < f64::from(MIN_SQUARED_LENGTH);
            if bounded && door == Door::Caller && vanishes {
                return Err(VectorizerError::VectorTooShort {
                    id: name(number),
                    squared_length: squared,
                    limit: MIN_SQUARED_LENGTH,
                });
            }
        }
        Ok(())
    }

    /// How many vectors are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.engine.is_empty()
    }

    /// Components of a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.engine.layout().dimension
    }

    /// The form of the vectors that walks through a graph compare.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.engine.layout().precision
    }

    /// Where the vectors themselves are, on a GPU, if that is another form.
    #[must_use]
    pub fn full_rows(&self) -> FullRows {
        self.engine.layout().full_rows
    }

    /// Bytes of RAM taken for vectors and links that are kept there beside those on the device; 0 without [`FullRows::Ram`], and on the CPU,
    /// whose memory is RAM.
    #[must_use]
    pub fn ram_bytes(&self) -> u64 {
        self.engine.ram_bytes()
    }

    /// Bytes of all vectors in the form that walks compare, padding left out.
    #[must_use]
    pub fn searched_bytes(&self) -> u64 {
        let Layout {
            dimension,
            precision,
            ..
        } = self.engine.layout();
        let row = match precision {
            Precision::F32 => dimension * size_of::<f32>(),
            _ => code::units(precision, dimension) * size_of::<Unit>(),
        };
        (self.len() * row) as u64
    }

    /// How nearness is measured.
    #[must_use]
    pub fn metric(&self) -> DistanceMetric {
        self.metric
    }

    /// The device the vectors are on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Says that there will be so many vectors in all: memory for all of them is taken at once when the first come, instead of step by
    /// step, when old and new memory are held together for a moment.
    ///
    /// # Errors
    /// [`VectorizerError::TooManyVectors`], or [`VectorizerError::VramLimitExceeded`] if there is no room for so many; nothing has changed.
    pub fn reserve(&mut self, vectors: usize) -> Result<()> {
        if vectors > MAX_SLOTS {
            return Err(VectorizerError::TooManyVectors {
                max: MAX_SLOTS,
                requested: vectors,
            });
        }
        let more = vectors.saturating_sub(self.len());
        if more > 0 {
            self.device.admit(self.engine.room_for_rows(more))?;
            self.engine.reserve(vectors);
        }
        Ok(())
    }

    /// The first of the slots whose vector is, as it is compared, that of `slot` bit for bit, if that is another one.
    pub(crate) fn first_of(&self, slot: u32) -> Option<u32> {
        self.equal.first_of(slot)
    }

    /// How many slots have such a first.
    pub(crate) fn copies(&self) -> usize {
        self.equal.copies()
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    pub(crate) fn engine_mut(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
    }
}

fn largest(row: &[f32]) -> usize {
    (0..row.len())
        .max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
