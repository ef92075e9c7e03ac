//! The small form of the rows, beside them.

use crate::config::Precision;
use crate::engine::code::{self, Terms, Unit};
use crate::engine::cpu::rows::{self, Rows, StagedRows};
use crate::error::Result;
use crate::gpu::memory::Ledger;

/// Units of a cache line.
const LINE: usize = 4;

/// All rows in their small form; none where walks compare the rows themselves.
#[derive(Debug)]
pub(crate) struct Codes {
    precision: Precision,
    /// Components of a row that is coded.
    dimension: usize,
    rows: Rows<Unit>,
}

/// Units of a row: so many that each begins at a cache line, where that costs a sixteenth at most. A row that begins elsewhere is on one
/// line more.
fn units(precision: Precision, dimension: usize) -> usize {
    let units = code::units(precision, dimension);
    let padded = units.next_multiple_of(LINE);
    if (padded - units) * 16 <= units {
        padded
    } else {
        units
    }
}

/// What the small form of so many rows takes.
pub(crate) fn bytes_of(precision: Precision, count: usize, dimension: usize) -> u64 {
    match precision {
        Precision::F32 => 0,
        _ => rows::bytes_of::<Unit>(count, units(precision, dimension)),
    }
}

impl Codes {
    /// No rows yet; `None` if rows are not to be coded.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) fn new(
        precision: Precision,
        dimension: usize,
        ledger: Ledger,
    ) -> Result<Option<Self>> {
        if precision.is_full() {
            return Ok(None);
        }
        Ok(Some(Self {
            precision,
            dimension,
            rows: Rows::new(units(precision, dimension), ledger)?,
        }))
    }

    /// In which form they are.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The coded rows.
    pub(crate) fn rows(&self) -> &Rows<Unit> {
        &self.rows
    }

    /// Bytes of a coded row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.rows.stride() * size_of::<Unit>()
    }

    /// See [`Rows::room_for`].
    pub(crate) fn room_for(&self, count: usize) -> u64 {
        self.rows.room_for(count)
    }

    /// Codes whole rows that lie end to end.
    ///
    /// # Errors
    /// As [`Rows::stage_with`].
    pub(crate) fn stage(&self, rows: &[f32]) -> Result<StagedRows<Unit>> {
        let row = |number: usize| &rows[number * self.dimension..][..self.dimension];
        let count = rows.len() / self.dimension;
        self.rows.stage_with(count, |number, to| {
            code::write(self.precision, row(number), to);
        })
    }

    /// Shows staged rows.
    pub(crate) fn commit(&mut self, staged: StagedRows<Unit>) {
        self.rows.commit(staged);
    }
}

/// A query in bytes, as it is multiplied with coded rows; used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Signed bytes where a row has its components, else zero: whatever rows have there does not count.
    pub(crate) codes: Vec<Unit>,
    pub(crate) terms: Terms,
    /// How much too large products are because rows are written as s + 128.
    pub(crate) shift: i32,
}

impl Asked {
    /// Codes a query for rows of `codes`.
    #[inline(always)]
    pub(crate) fn ask(&mut self, query: &[f32], codes: &Codes) {
        self.codes.clear();
        self.codes.resize(codes.rows.dimension(), Unit::default());
        self.shift = 128 * code::write_bytes(query, &mut self.codes);
        self.terms = Terms::of(&self.codes);
        code::make_signed(&mut self.codes, query.len());
        if let Some(terms) = self.codes.last_mut() {
            *terms = Unit::default();
        }
    }
}
