//! Two engines as one, where the rows themselves are to be in RAM: the CPU engine keeps rows and links, works links out and compares exactly;
//! a GPU keeps the small form of the rows and the same links, and walks.
//!
//! Both change in one step. What the device may refuse comes first, and what the CPU then does cannot fail. Everything but walks is the CPU
//! engine's, so that the graph is its graph; what walks find is scored again there, as it is on a GPU that has the rows.

use std::collections::BTreeMap;

use crate::config::{FullRows, Precision};
use crate::engine::cpu::{self, CpuEngine};
use crate::engine::gpu::{self, StagedCodes, StagedWrites, Walker};
use crate::engine::{
    Attachment, Changes, Counters, Engine, Hits, Layout, LevelLinks, LinkBatch, MemoryEstimate,
    Selection, SlotSet, Staged, Walk,
};
use crate::error::Result;
use crate::gpu::device::Device;
use crate::gpu::memory::{Label, Ledger};

/// Rows and links in RAM; their small form and the links on a GPU.
#[derive(Debug)]
pub(crate) struct PairedEngine {
    layout: Layout,
    ram: CpuEngine,
    /// In which that stands.
    books: Ledger,
    walker: Walker,
}

/// Rows that wait to be shown in both places.
#[derive(Debug)]
struct StagedRows {
    ram: Staged,
    codes: StagedCodes,
}

/// The same for links.
#[derive(Debug)]
struct StagedLinks {
    ram: cpu::StagedLinks,
    writes: StagedWrites,
}

/// What is kept in RAM has no small form there.
fn in_ram(layout: Layout) -> Layout {
    Layout {
        precision: Precision::F32,
        full_rows: FullRows::Device,
        ..layout
    }
}

/// What so many rows and their links will take.
pub(super) fn estimate(layout: Layout, rows: usize) -> MemoryEstimate {
    MemoryEstimate {
        ram: cpu::estimate(in_ram(layout), rows).lasting(),
        ..gpu::estimate(layout, rows)
    }
}

impl PairedEngine {
    /// An engine without rows; `threads` (0: all cores) are the CPU's. What is in RAM stands in the CPU's books.
    ///
    /// # Errors
    /// As those of the two engines.
    pub(crate) fn new(device: &Device, layout: Layout, threads: usize) -> Result<Self> {
        let books = Device::cpu().ledger().child(None);
        Ok(Self {
            layout,
            ram: CpuEngine::new(in_ram(layout), threads, books.clone())?,
            books,
            walker: Walker::new(device, layout)?,
        })
    }
}

/// The rows of links that get other ones, as they are to be.
fn attached(ram: &CpuEngine, attachments: &[Attachment]) -> Vec<Changes> {
    let mut levels: BTreeMap<usize, BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
    for attachment in attachments {
        let rows = levels.entry(attachment.level).or_default();
        let row = rows
            .entry(attachment.from)
            .or_insert_with(|| ram.row_of_links(attachment).to_vec());
        row[attachment.place] = attachment.to;
    }
    let changes = levels.into_iter().map(|(level, rows)| Changes {
        level,
        slots: rows.keys().copied().collect(),
        rows: rows.into_values().flatten().collect(),
    });
    changes.collect()
}

impl Engine for PairedEngine {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn len(&self) -> usize {
        self.ram.len()
    }

    fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        Ok(Staged(Box::new(StagedRows {
            codes: self.walker.stage_rows(rows)?,
            ram: self.ram.stage_rows(rows)?,
        })))
    }

    fn commit_rows(&mut self, staged: Staged) {
        match staged.0.downcast::<StagedRows>() {
            Ok(staged) => {
                self.walker.commit_rows(staged.codes);
                self.ram.commit_rows(staged.ram);
            }
            Err(_) => debug_assert!(false, "these are no rows staged by a pair of engines"),
        }
    }

    fn room_for_rows(&self, rows: usize) -> u64 {
        self.walker.room_for_rows(rows)
    }

    fn reserve(&mut self, rows: usize) {
        self.walker.reserve(rows);
        self.ram.reserve(rows);
    }

    fn read_rows(&self, slots: std::ops::Range<u32>, out: &mut [f32]) -> Result<()> {
        self.ram.read_rows(slots, out)
    }

    fn exact(
        &self,
        queries: &[f32],
        k: usize,
        slots: std::ops::Range<u32>,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        self.ram.exact(queries, k, slots, allowed)
    }

    fn walk(&self, queries: &[f32], walk: &Walk, allowed: Option<&SlotSet>) -> Result<Hits> {
        if walk.ef > self.walker.max_ef() {
            return self.ram.walk(queries, walk, allowed);
        }
        let found = self.walker.walk(queries, walk, allowed)?;
        Ok(self.ram.score_again(queries, &found, walk.k))
    }

    fn max_ef(&self) -> usize {
        self.ram.max_ef()
    }

    /// Scans are the CPU's, so that searches take the paths that they take there.
    fn scan_gain(&self) -> usize {
        self.ram.scan_gain()
    }

    fn room_for_links(&self, slots: usize, selection: &Selection) -> u64 {
        self.walker.room_for_links(slots, selection)
    }

    fn stage_links(&self, batch: &LinkBatch<'_>) -> Result<Staged> {
        let room = self
            .ram
            .room_for_links(batch.levels.len(), &batch.selection);
        self.books.admit(room)?;
        let ram = self.ram.work_out(batch)?;
        let writes = self.walker.stage_links(batch.levels, ram.changes())?;
        Ok(Staged(Box::new(StagedLinks { ram, writes })))
    }

    fn commit_links(&mut self, staged: Staged) -> Result<()> {
        match staged.0.downcast::<StagedLinks>() {
            Ok(staged) => {
                self.walker.commit_links(staged.writes)?;
                self.ram.show(staged.ram);
            }
            Err(_) => debug_assert!(false, "these are no links staged by a pair of engines"),
        }
        Ok(())
    }

    fn links(&self, level: usize) -> Result<LevelLinks> {
        self.ram.links(level)
    }

    fn attach(&mut self, attachments: &[Attachment]) -> Result<()> {
        let changes = attached(&self.ram, attachments);
        let writes = self.walker.stage_links(&[], &changes)?;
        self.walker.commit_links(writes)?;
        self.ram.attach(attachments)
    }

    fn links_without_dead(
        &self,
        level: usize,
        alive: &SlotSet,
        selection: &Selection,
    ) -> Result<LevelLinks> {
        self.ram.links_without_dead(level, alive, selection)
    }

    fn put_links(&mut self, levels: &[u8], links: &[LevelLinks]) -> Result<()> {
        let graph = self.ram.graph_of(levels, links)?;
        self.walker.put_links(levels, links)?;
        self.ram.replace_graph(graph);
        Ok(())
    }

    fn clear_links(&mut self) -> Result<()> {
        self.ram.clear_links()?;
        self.walker.clear_links();
        Ok(())
    }

    fn compact(&mut self) -> Result<u64> {
        self.walker.compact()
    }

    fn counters(&self) -> Counters {
        let [ram, walker] = [self.ram.counters(), self.walker.counters()];
        Counters {
            distances: ram.distances + walker.distances,
            hops: ram.hops + walker.hops,
            bytes: ram.bytes + walker.bytes,
        }
    }

    fn ram_bytes(&self) -> u64 {
        let taken = |label| self.books.account(label).taken;
        taken(Label::Rows) + taken(Label::Graph)
    }
}
