//! Runs of rows as they lie in the store: numbers end to end, and the ids of the same rows beside them.
//!
//! redb gives a large value pages of a power of two in size, so runs are cut to fill such pages.

use std::borrow::Cow;

use super::tables::{Kind, SEAL_BYTES, seal, unseal};
use crate::config::MAX_ID_BYTES;
use crate::engine::MAX_SLOTS;

/// Before the numbers of a run: the seal, how many rows, and how many components each. A multiple of 16, so that the numbers
/// are aligned in memory.
const ROWS_HEAD: usize = 16;
/// What redb puts before and after the value in a page.
const PAGE_OVERHEAD: usize = 32;
const SMALLEST_PAGE: usize = 4096;
/// Runs fill a page of this size, or, of long rows, a larger one that they fill better.
const USUAL_PAGE: usize = 256 << 10;
const LARGEST_PAGE: usize = 4 << 20;
/// The most rows of a run: what its ids may come to stays far below what redb takes as a value.
const MOST_ROWS: usize = 8192;

/// Bytes of the numbers of `rows` rows, with what stands before them.
pub(super) fn rows_bytes(rows: usize, dimension: usize) -> usize {
    ROWS_HEAD + rows * dimension * size_of::<f32>()
}

fn fits(page: usize, dimension: usize) -> usize {
    (page - PAGE_OVERHEAD - ROWS_HEAD) / (dimension * size_of::<f32>())
}

/// Rows of a full run.
pub(super) fn full_run(dimension: usize) -> usize {
    let mut page = USUAL_PAGE;
    while fits(page, dimension) > MOST_ROWS {
        page /= 2;
    }
    while page < LARGEST_PAGE
        && (page - fits(page, dimension) * dimension * size_of::<f32>()) > page / 16
    {
        page *= 2;
    }
    fits(page, dimension).max(1)
}

/// How many of `waiting` rows go into the next run: a full one, or what fills a page well.
pub(super) fn next_run(waiting: usize, dimension: usize) -> usize {
    let full = full_run(dimension);
    if waiting >= full {
        return full;
    }
    let bytes = rows_bytes(waiting, dimension) + PAGE_OVERHEAD;
    let page = bytes.next_power_of_two().max(SMALLEST_PAGE);
    if page == SMALLEST_PAGE || page - bytes <= page / 8 {
        return waiting;
    }
    match fits(page / 2, dimension) {
        0 => waiting,
        fitting => fitting.min(waiting),
    }
}

/// Writes a run into `value`, which has [`rows_bytes`], and returns its seal.
pub(super) fn write_rows(first: u64, rows: &[f32], dimension: usize, value: &mut [u8]) -> u64 {
    let count = rows.len() / dimension;
    let (head, numbers) = value.split_at_mut(ROWS_HEAD);
    head[SEAL_BYTES..12].copy_from_slice(&small(count).to_le_bytes());
    head[12..].copy_from_slice(&small(dimension).to_le_bytes());
    if cfg!(target_endian = "little") {
        numbers.copy_from_slice(bytemuck::cast_slice(rows));
    } else {
        for (bytes, number) in numbers.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
            *bytes = number.to_le_bytes();
        }
    }
    let mark = seal(Kind::Rows, first, &value[SEAL_BYTES..]);
    value[..SEAL_BYTES].copy_from_slice(&mark.to_le_bytes());
    mark
}

/// The seal and the numbers of a run of `dimension` components; what is wrong with it if there is something.
pub(super) fn read_rows(
    first: u64,
    value: &[u8],
    dimension: usize,
) -> Result<(u64, Cow<'_, [f32]>), &'static str> {
    let (mark, body) =
        unseal(Kind::Rows, first, value).ok_or("the checksum of its numbers is wrong")?;
    let (sizes, numbers) = body
        .split_first_chunk::<8>()
        .ok_or("its numbers are cut off")?;
    let sizes = u64::from_le_bytes(*sizes);
    let (count, components) = (sizes & u64::from(u32::MAX), sizes >> 32);
    let bytes = u128::from(count) * u128::from(components) * 4;
    if components != dimension as u64 || bytes != numbers.len() as u128 {
        return Err("its numbers are no whole rows");
    }
    Ok((mark, floats(numbers)))
}

/// Little-endian numbers, without a copy where the machine has them so.
fn floats(bytes: &[u8]) -> Cow<'_, [f32]> {
    if cfg!(target_endian = "little")
        && let Ok(numbers) = bytemuck::try_cast_slice(bytes)
    {
        return Cow::Borrowed(numbers);
    }
    let numbers = bytes.as_chunks::<4>().0.iter();
    Cow::Owned(numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Counts in a run: far below 2^32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "slots and dimensions are below 2^32"
)]
pub(super) fn small(count: usize) -> u32 {
    debug_assert!(count <= MAX_SLOTS, "{count} is no count of rows");
    count as u32
}

/// The ids of a run. `steps` says how far each row's sequence number is from the first: 0, 1, 2, ... unless rows were dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    steps: Vec<u32>,
    ends: Vec<u32>,
    text: String,
}

impl Names {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn push(&mut self, step: u32, id: &str) {
        self.steps.push(step);
        self.text.push_str(id);
        self.ends.push(small(self.text.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Each row's step and id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let texts = starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[start as usize..*end as usize]);
        self.steps.iter().copied().zip(texts)
    }

    /// How far the last row's sequence number is from the first.
    pub(super) fn last_step(&self) -> u32 {
        self.steps.last().copied().unwrap_or_default()
    }

    /// As a value of its table, with its seal.
    pub(super) fn to_value(&self, first: u64) -> (u64, Vec<u8>) {
        let count = self.len();
        let mut value = Vec::with_capacity(SEAL_BYTES + 8 + 8 * count + self.text.len());
        value.extend([0; SEAL_BYTES]);
        value.extend((count as u64).to_le_bytes());
        for number in self.steps.iter().chain(&self.ends) {
            value.extend(number.to_le_bytes());
        }
        value.extend_from_slice(self.text.as_bytes());
        let mark = seal(Kind::Names, first, &value[SEAL_BYTES..]);
        value[..SEAL_BYTES].copy_from_slice(&mark.to_le_bytes());
        (mark, value)
    }

    /// From such a value; what is wrong with it if there is something.
    pub(super) fn from_value(first: u64, value: &[u8]) -> Result<(u64, Self), &'static str> {
        let (mark, body) =
            unseal(Kind::Names, first, value).ok_or("the checksum of its ids is wrong")?;
        let names = Self::parse(body).ok_or("its ids are cut off or out of order")?;
        Ok((mark, names))
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let (count, rest) = body.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (numbers, text) = rest.split_at_checked(count.checked_mul(8)?)?;
        let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        let numbers: Vec<u32> = numbers.as_chunks::<4>().0.iter().map(number).collect();
        let (steps, ends) = numbers.split_at(count);
        let text = std::str::from_utf8(text).ok()?;
        let rising = steps.windows(2).all(|pair| pair[0] < pair[1]);
        let mut start = 0;
        let whole = ends.iter().all(|end| {
            let end = *end as usize;
            let length = end.checked_sub(start);
            start = end;
            length.is_some_and(|length| (1..=MAX_ID_BYTES).contains(&length))
                && text.is_char_boundary(end)
        });
        let complete = start == text.len() && steps.first().is_none_or(|step| *step == 0);
        (rising && whole && complete).then(|| Self {
            steps: steps.to_vec(),
            ends: ends.to_vec(),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fill_their_pages() {
        for dimension in [1, 3, 128, 512, 784, 1536, 4096, 16_384, 65_536] {
            let full = full_run(dimension);
            let bytes = rows_bytes(full, dimension) + PAGE_OVERHEAD;
            let page = bytes.next_power_of_two();
            assert!(page <= LARGEST_PAGE, "{dimension}");
            assert!(
                (page - bytes) * 10 <= page,
                "{dimension}: {bytes} of {page}"
            );
            for waiting in [1, 2, 7, 100, 1000, 5000] {
                let (mut left, mut taken) = (waiting, 0);
                while left > 0 {
                    let run = next_run(left, dimension);
                    assert!((1..=left.min(full)).contains(&run));
                    left -= run;
                    taken += (rows_bytes(run, dimension) + PAGE_OVERHEAD)
                        .next_power_of_two()
                        .max(SMALLEST_PAGE);
                }
                let least = waiting * dimension * 4;
                // A single row may lie badly in its page; many may not.
                assert!(
                    waiting < 100 || taken * 4 <= least * 5 + 8 * SMALLEST_PAGE,
                    "{dimension} x {waiting}: {taken} for {least}"
                );
            }
        }
    }

    #[test]
    fn rows_come_back_and_damage_does_not() {
        let rows = [1.0, -2.5, f32::MIN_POSITIVE, 4e9, 5.0, -0.0];
        let mut value = vec![0; rows_bytes(2, 3)];
        let mark = write_rows(9, &rows, 3, &mut value);
        let (seen, numbers) = read_rows(9, &value, 3).unwrap();
        assert_eq!((seen, &*numbers), (mark, &rows[..]));
        assert!(read_rows(9, &value, 2).is_err() && read_rows(8, &value, 3).is_err());
        for byte in 0..value.len() {
            let mut damaged = value.clone();
            damaged[byte] ^= 0x10;
            assert!(read_rows(9, &damaged, 3).is_err());
            assert!(read_rows(9, &value[..byte], 3).is_err());
        }
    }

    #[test]
    fn names_come_back_and_damage_does_not() {
        let mut names = Names::new();
        for (step, id) in [(0, "a"), (1, "größer"), (7, "日本"), (8, "b")] {
            names.push(step, id);
        }
        let (mark, value) = names.to_value(3);
        assert_eq!(Names::from_value(3, &value).unwrap(), (mark, names.clone()));
        assert_eq!(
            names.iter().map(|(step, _)| step).max(),
            Some(names.last_step())
        );
        for byte in 0..value.len() {
            let mut damaged = value.clone();
            damaged[byte] ^= 0x80;
            assert!(Names::from_value(3, &damaged).is_err());
            assert!(Names::from_value(3, &value[..byte]).is_err());
        }
    }

    #[test]
    fn names_that_lie_are_refused_though_their_seal_is_right() {
        let body = |count: u64, numbers: &[u32], text: &str| {
            let mut body = count.to_le_bytes().to_vec();
            body.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
            body.extend(text.as_bytes());
            body
        };
        assert!(Names::parse(&body(2, &[0, 1, 1, 2], "ab")).is_some());
        for (count, numbers, text) in [
            (u64::MAX, &[0u32, 1, 1, 2][..], "ab"),
            (1 << 61, &[0, 1, 1, 2], "ab"),
            (2, &[1, 2, 1, 2], "ab"),
            (2, &[0, 0, 1, 2], "ab"),
            (2, &[0, 1, 2, 1], "ab"),
            (2, &[0, 1, 0, 2], "ab"),
            (2, &[0, 1, 1, 3], "ab"),
            (2, &[0, 1, 1, 2], "abc"),
            (2, &[0, 1, 2, 3], "aé"),
            (2, &[0, 1, 1, 3], "éa"),
        ] {
            assert!(
                Names::parse(&body(count, numbers, text)).is_none(),
                "{count} {numbers:?} {text}"
            );
        }
    }
}
