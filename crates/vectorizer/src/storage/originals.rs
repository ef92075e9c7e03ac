//! What it takes to give a vector back bit for bit after it was made unit.
//!
//! A unit row times the old length, rounded to f32, is the old component or one of the floats beside it. The length is kept
//! for every row; where multiplying is not enough, two bits a component say which float it was. That is a sixteenth of the
//! memory of a second copy. Whole numbers need no bits: rounding finds them. Extremes (components that vanish beside the
//! length) keep the row itself.

use hashbrown::HashMap;

use crate::engine::SlotSet;
use crate::engine::cpu::pool::Pool;

/// Rows that a thread takes at a time.
const TURN: usize = 64;

/// How a row is made what it was.
#[derive(Debug, Clone, PartialEq)]
enum Remedy {
    /// Multiply and round to a whole number.
    Whole,
    /// Multiply, then step each component by a code of two bits: 0 stay, 1 up, 2 down.
    Steps(Box<[u8]>),
    /// Take these.
    Kept(Box<[f32]>),
}

/// Lengths and remedies of unit rows, by slot.
#[derive(Debug, Clone)]
pub(super) struct Originals {
    dimension: usize,
    lengths: Vec<f64>,
    remedies: HashMap<u32, Remedy>,
}

/// The same for rows that are not visible yet.
#[derive(Debug)]
pub(super) struct StagedOriginals {
    lengths: Vec<f64>,
    remedies: Vec<(u32, Remedy)>,
}

impl Originals {
    pub(super) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            lengths: Vec::new(),
            remedies: HashMap::new(),
        }
    }

    /// Makes `rows` unit in place and notes what brings them back.
    pub(super) fn stage(&self, rows: &mut [f32], pool: &Pool) -> StagedOriginals {
        let first = self.lengths.len();
        let count = rows.len() / self.dimension;
        let mut lengths = vec![0.0; count];
        let mut remedies = vec![None; count];
        let turns = rows
            .chunks_mut(TURN * self.dimension)
            .zip(lengths.chunks_mut(TURN))
            .zip(remedies.chunks_mut(TURN));
        pool.work(
            turns.collect(),
            Vec::new,
            |before, ((rows, lengths), remedies)| {
                let rows = rows.chunks_exact_mut(self.dimension);
                for ((row, length), to) in rows.zip(lengths).zip(remedies) {
                    before.clear();
                    before.extend_from_slice(row);
                    *length = make_unit(row);
                    *to = remedy(before, row, *length);
                }
            },
        );
        let numbered = remedies.into_iter().enumerate();
        let remedies = numbered
            .filter_map(|(number, remedy)| Some((crate::engine::slot(first + number), remedy?)))
            .collect();
        StagedOriginals { lengths, remedies }
    }

    pub(super) fn commit(&mut self, staged: StagedOriginals) {
        self.lengths.extend(staged.lengths);
        self.remedies.extend(staged.remedies);
    }

    /// The same for the slots that are `alive`, numbered anew in their order.
    pub(super) fn only(&self, alive: &SlotSet) -> Self {
        let lengths = alive.iter().map(|slot| self.lengths[slot as usize]);
        let numbered = (0..).zip(alive.iter());
        let remedies =
            numbered.filter_map(|(number, slot)| Some((number, self.remedies.get(&slot)?.clone())));
        Self {
            dimension: self.dimension,
            lengths: lengths.collect(),
            remedies: remedies.collect(),
        }
    }

    /// Makes the unit row of `slot` what it was.
    pub(super) fn restore(&self, slot: u32, row: &mut [f32]) {
        let length = self.lengths[slot as usize];
        apply(self.remedies.get(&slot), length, row);
    }
}

/// Scales a row to length 1, in f64 and rounded once, and returns its old length. A zero row stays as it is.
pub(super) fn make_unit(row: &mut [f32]) -> f64 {
    let length = squared_length(row).sqrt();
    if length > 0.0 {
        for x in row {
            *x = narrow(f64::from(*x) / length);
        }
    }
    length
}

/// The sum of squares in f64, in eight lanes so that the compiler can use them.
pub(super) fn squared_length(row: &[f32]) -> f64 {
    let (eights, rest) = row.as_chunks::<8>();
    let mut lanes = [0f64; 8];
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(*x) * f64::from(*x);
        }
    }
    lanes.iter().sum::<f64>()
        + rest
            .iter()
            .map(|x| f64::from(*x) * f64::from(*x))
            .sum::<f64>()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what is wanted"
)]
fn narrow(x: f64) -> f32 {
    x as f32
}

fn times(unit: f32, length: f64) -> f32 {
    narrow(f64::from(unit) * length)
}

/// The whole number nearest to `x`. Adding and taking away 1.5 x 2^23 rounds without a call, where it can.
fn whole(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    if x.abs() < 4_000_000.0 {
        (x + SHIFT) - SHIFT
    } else {
        x.round()
    }
}

fn apply(remedy: Option<&Remedy>, length: f64, row: &mut [f32]) {
    for (index, x) in row.iter_mut().enumerate() {
        *x = component(remedy, length, index, *x);
    }
}

fn component(remedy: Option<&Remedy>, length: f64, index: usize, unit: f32) -> f32 {
    match remedy {
        None if length > 0.0 => times(unit, length),
        // A zero row was never scaled.
        None => unit,
        Some(Remedy::Whole) => whole(times(unit, length)),
        Some(Remedy::Steps(codes)) => match codes[index / 4] >> (2 * (index % 4)) & 3 {
            1 => times(unit, length).next_up(),
            2 => times(unit, length).next_down(),
            _ => times(unit, length),
        },
        Some(Remedy::Kept(kept)) => kept[index],
    }
}

/// The cheapest remedy that brings `before` back from `unit`; `None` if multiplying does.
fn remedy(before: &[f32], unit: &[f32], length: f64) -> Option<Remedy> {
    let restores = |remedy: Option<&Remedy>| {
        let pairs = unit.iter().zip(before).enumerate();
        pairs.into_iter().all(|(index, (unit, x))| {
            component(remedy, length, index, *unit).to_bits() == x.to_bits()
        })
    };
    if restores(None) {
        return None;
    }
    if restores(Some(&Remedy::Whole)) {
        return Some(Remedy::Whole);
    }
    let mut codes = vec![0u8; before.len().div_ceil(4)];
    for (index, (unit, before)) in unit.iter().zip(before).enumerate() {
        let near = times(*unit, length);
        let code = match before.total_cmp(&near) {
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Less => 2,
        };
        codes[index / 4] |= code << (2 * (index % 4));
    }
    let steps = Remedy::Steps(codes.into());
    Some(if restores(Some(&steps)) {
        steps
    } else {
        Remedy::Kept(before.into())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::cpu::pool::Purpose;

    fn there_and_back(row: &[f32]) -> (Vec<f32>, Option<Remedy>) {
        let mut originals = Originals::new(row.len());
        let mut unit = row.to_vec();
        let staged = originals.stage(&mut unit, &Pool::new(1, Purpose::Build));
        originals.commit(staged);
        originals.restore(0, &mut unit);
        (unit, originals.remedies.get(&0).cloned())
    }

    fn bits(row: &[f32]) -> Vec<u32> {
        row.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn zero_and_powers_of_two_need_no_remedy() {
        for row in [vec![0.0, 0.0, -0.0], vec![4.0, 0.0, 0.0], vec![-0.5; 4]] {
            let (back, remedy) = there_and_back(&row);
            assert_eq!(bits(&back), bits(&row));
            assert_eq!(remedy, None, "{row:?}");
        }
    }

    #[test]
    fn whole_numbers_need_no_steps() {
        let row: Vec<f32> = (0..300).map(|i| ((i * 7919) % 255 - 127) as f32).collect();
        let (back, remedy) = there_and_back(&row);
        assert_eq!(back, row);
        assert!(matches!(remedy, None | Some(Remedy::Whole)));
    }

    #[test]
    fn extremes_are_kept() {
        let row = [f32::MAX, f32::MIN_POSITIVE, 1e-40, -1e-45, -0.0];
        assert_eq!(bits(&there_and_back(&row).0), bits(&row));
    }

    proptest! {
        #[test]
        fn any_finite_row_comes_back(row in prop::collection::vec(any::<f32>().prop_filter("finite", |x| x.is_finite()), 1..40)) {
            prop_assert_eq!(bits(&there_and_back(&row).0), bits(&row));
        }

        #[test]
        fn ordinary_rows_are_never_kept_twice(row in prop::collection::vec(-10f32..10.0, 1..200)) {
            let (back, remedy) = there_and_back(&row);
            prop_assert_eq!(bits(&back), bits(&row));
            prop_assert!(!matches!(remedy, Some(Remedy::Kept(_))), "kept {:?}", row);
        }
    }
}
