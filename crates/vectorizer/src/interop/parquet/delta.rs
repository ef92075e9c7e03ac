//! Lists of whole numbers as differences in blocks (`DELTA_BINARY_PACKED` of
//! <https://github.com/apache/parquet-format/blob/master/Encodings.md>), as far as it takes to know how many there are and where they end.

pub(super) struct Stream<'b> {
    /// Of the numbers, by what the header says.
    pub(super) count: u64,
    block: u64,
    parts: u64,
    rest: &'b [u8],
}

impl<'b> Stream<'b> {
    /// `None` where not even the header is whole.
    pub(super) fn of(mut bytes: &'b [u8]) -> Option<Self> {
        let [block, parts, count, _first] = std::array::from_fn(|_| number(&mut bytes));
        Some(Self {
            count: count?,
            block: block?,
            parts: parts?,
            rest: bytes,
        })
    }

    /// What comes after it; nothing where it does not end. Each block takes a byte at least, so this ends.
    pub(super) fn after(&self) -> &'b [u8] {
        self.ended().unwrap_or_default()
    }

    fn ended(&self) -> Option<&'b [u8]> {
        let per_part = self
            .block
            .checked_div(self.parts)
            .filter(|some| *some > 0)?;
        let parts = usize::try_from(self.parts).ok()?;
        let mut rest = self.rest;
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            let _least = number(&mut rest)?;
            let (widths, packed) = rest.split_at_checked(parts)?;
            rest = packed;
            for width in widths {
                if left == 0 {
                    break;
                }
                let bytes = per_part.checked_mul(u64::from(*width))? / 8;
                rest = rest.get(usize::try_from(bytes).ok()?..)?;
                left = left.saturating_sub(per_part);
            }
        }
        Some(rest)
    }
}

/// A number in groups of seven bits, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
