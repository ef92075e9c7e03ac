//! The links of every level, in memory.
//!
//! Level 0 is an array of rows of `2 M` places, in chunks: growing moves nothing. Above it links are few (about one
//! slot in `M` has any), so that one array holds them: a slot of level `l` has `l` rows of `M` places there, level 1 first.

use crate::engine::cpu::pages::Pages;
use crate::engine::{
    Attachment, Changes, Layout, LevelLinks, NO_SLOT, Selection, slot, upper_rows,
};
use crate::error::Result;
use crate::gpu::memory::{Label, Lease, Ledger};

/// What a chunk of level 0 holds at least: a huge page, as x86-64 and arm64 have them.
const CHUNK_BYTES: usize = 2 << 20;
const LINK_BYTES: usize = size_of::<u32>();
/// Memory is counted in whole pages of this size.
const PAGE_BYTES: usize = 4096;

/// The links between rows. Slots that have any come first: `0..len()`.
#[derive(Debug)]
pub(crate) struct Graph {
    layout: Layout,
    levels: Vec<u8>,
    bottom: Vec<Pages<u32>>,
    /// A chunk of `bottom` has 2 to this many rows.
    chunk_bits: u32,
    /// Where the rows of a slot begin in `upper`, counted in rows; [`NO_SLOT`] where it has none.
    upper_base: Vec<u32>,
    upper: Vec<u32>,
    ledger: Ledger,
    lease: Lease,
}

/// A batch of links that waits to be committed.
#[derive(Debug)]
pub(crate) struct StagedLinks {
    first: usize,
    levels: Vec<u8>,
    changes: Vec<Changes>,
    chunks: Vec<Pages<u32>>,
    lease: Lease,
    _staging: Lease,
}

/// What the links of so many slots take, with so many rows above level 0.
pub(crate) fn bytes_of(layout: &Layout, slots: usize, upper_rows: usize) -> u64 {
    let bottom = (slots * layout.degree(0) * LINK_BYTES).next_multiple_of(PAGE_BYTES);
    // A level is a byte.
    (bottom + (upper_rows * layout.max_connections + slots) * LINK_BYTES + slots) as u64
}

#[cfg(feature = "gpu")]
impl StagedLinks {
    /// What it changes: every row of the new slots, and those of others that get other links.
    pub(crate) fn changes(&self) -> &[Changes] {
        &self.changes
    }
}

impl Graph {
    /// No links.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) fn new(layout: Layout, ledger: Ledger) -> Result<Self> {
        let row = layout.degree(0) * LINK_BYTES;
        let lease = ledger.take(Label::Graph, 0)?;
        Ok(Self {
            layout,
            levels: Vec::new(),
            bottom: Vec::new(),
            chunk_bits: CHUNK_BYTES.div_ceil(row).next_power_of_two().ilog2(),
            upper_base: Vec::new(),
            upper: Vec::new(),
            ledger,
            lease,
        })
    }

    /// How many slots have links.
    pub(crate) fn len(&self) -> usize {
        self.levels.len()
    }

    /// Places in a row on `level`.
    #[inline(always)]
    pub(crate) fn degree(&self, level: usize) -> usize {
        self.layout.degree(level)
    }

    /// The places for the links of `slot` on `level`, which it has; unused ones, at the end, hold [`NO_SLOT`].
    #[inline(always)]
    pub(crate) fn row(&self, level: usize, slot: u32) -> &[u32] {
        let degree = self.degree(level);
        if level == 0 {
            let (chunk, place) = self.place(slot);
            &self.bottom[chunk][place * degree..][..degree]
        } else {
            let base = self.upper_base[slot as usize] as usize + level - 1;
            &self.upper[base * degree..][..degree]
        }
    }

    fn row_mut(&mut self, level: usize, slot: u32) -> &mut [u32] {
        let degree = self.degree(level);
        if level == 0 {
            let (chunk, place) = self.place(slot);
            &mut self.bottom[chunk][place * degree..][..degree]
        } else {
            let base = self.upper_base[slot as usize] as usize + level - 1;
            &mut self.upper[base * degree..][..degree]
        }
    }

    #[inline(always)]
    fn place(&self, slot: u32) -> (usize, usize) {
        let slot = slot as usize;
        (slot >> self.chunk_bits, slot & ((1 << self.chunk_bits) - 1))
    }

    /// How many bytes more a batch of so many slots takes at the most.
    pub(crate) fn room_for(&self, slots: usize, selection: &Selection) -> u64 {
        let total = self.len() + slots;
        let upper =
            self.upper.len() / self.layout.max_connections + upper_rows(slots, &self.layout);
        let graph = bytes_of(&self.layout, total, upper).saturating_sub(self.lease.bytes());
        // New slots' rows, and those that they change.
        let changed = slots + total.min(slots * selection.own.max(selection.fill));
        graph + (changed * (self.degree(0) + 1) * LINK_BYTES) as u64
    }

    /// Takes the memory for the links of slots `len()..len() + levels.len()`. `expected` is how many slots the graph will
    /// soon have: with few, huge pages would take more than they hold.
    ///
    /// # Errors
    /// Over the ledger's limit, or no memory.
    pub(crate) fn stage(
        &self,
        levels: &[u8],
        changes: Vec<Changes>,
        expected: usize,
    ) -> Result<StagedLinks> {
        let total = self.len() + levels.len();
        let upper = self.upper.len() + self.upper_places(levels);
        let wanted = bytes_of(&self.layout, total, upper / self.layout.max_connections);
        let more = wanted.saturating_sub(self.lease.bytes());
        let lease = self.ledger.take(Label::Graph, more)?;
        let staging = changes
            .iter()
            .map(|c| (c.slots.len() + c.rows.len()) * LINK_BYTES)
            .sum::<usize>();
        let staging = self.ledger.take(Label::Pool, staging as u64)?;

        let chunk_rows = 1 << self.chunk_bits;
        let mut chunks = Vec::new();
        for _ in self.bottom.len()..total.div_ceil(chunk_rows) {
            let chunk = Pages::zeroed(chunk_rows * self.degree(0))?;
            if expected >= chunk_rows {
                chunk.advise_huge();
            }
            chunks.push(chunk);
        }
        Ok(StagedLinks {
            first: self.len(),
            levels: levels.to_vec(),
            changes,
            chunks,
            lease,
            _staging: staging,
        })
    }

    fn upper_places(&self, levels: &[u8]) -> usize {
        let rows: usize = levels.iter().map(|&level| usize::from(level)).sum();
        rows * self.layout.max_connections
    }

    /// Makes staged links visible. Nothing else may have been committed since they were staged.
    pub(crate) fn commit(&mut self, staged: StagedLinks) {
        debug_assert_eq!(staged.first, self.len(), "another commit came between");
        self.bottom.extend(staged.chunks);
        let upper = self.upper.len() + self.upper_places(&staged.levels);
        let mut base = self.upper.len() / self.layout.max_connections;
        self.upper.resize(upper, NO_SLOT);
        for &level in &staged.levels {
            self.upper_base
                .push(if level == 0 { NO_SLOT } else { slot(base) });
            base += usize::from(level);
        }
        self.levels.extend_from_slice(&staged.levels);
        for Changes { level, slots, rows } in &staged.changes {
            let rows = rows.chunks_exact(self.degree(*level));
            for (&slot, row) in slots.iter().zip(rows) {
                self.row_mut(*level, slot).copy_from_slice(row);
            }
        }
        self.lease.absorb(staged.lease);
        self.lease.set_used(self.lease.bytes());
    }

    /// The slots with links on `level`, in order.
    pub(crate) fn members(&self, level: usize) -> impl Iterator<Item = u32> {
        let slots = self.levels.iter().enumerate();
        let there = slots.filter(move |(_, top)| usize::from(**top) >= level);
        there.map(|(index, _)| slot(index))
    }

    /// All links of `level`, in the order of slots.
    pub(crate) fn links(&self, level: usize) -> LevelLinks {
        let mut rows = Vec::new();
        for slot in self.members(level) {
            rows.extend_from_slice(self.row(level, slot));
        }
        LevelLinks {
            degree: self.degree(level),
            rows,
        }
    }

    /// Writes single links.
    pub(crate) fn attach(&mut self, attachments: &[Attachment]) {
        for attachment in attachments {
            self.row_mut(attachment.level, attachment.from)[attachment.place] = attachment.to;
        }
    }

    /// Links that were read back, in a graph beside this one that can take its place.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub(crate) fn of(&self, levels: &[u8], links: &[LevelLinks]) -> Result<Self> {
        let mut fresh = Self::new(self.layout, self.ledger.clone())?;
        let staged = fresh.stage(levels, Vec::new(), levels.len())?;
        fresh.commit(staged);
        for (level, links) in links.iter().enumerate() {
            let members = (0..)
                .zip(levels)
                .filter(|(_, top)| usize::from(**top) >= level);
            for ((slot, _), row) in members.zip(links.rows.chunks_exact(links.degree)) {
                fresh.row_mut(level, slot).copy_from_slice(row);
            }
        }
        Ok(fresh)
    }

    /// Forgets every link.
    pub(crate) fn clear(&mut self) -> Result<()> {
        *self = Self::new(self.layout, self.ledger.clone())?;
        Ok(())
    }
}
