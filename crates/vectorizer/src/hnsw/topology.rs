//! What holds of every graph: bounds, levels, and that everything can be reached. Checked by `check`, mended by `attachments`.

use std::borrow::Cow;

use heirs::Heirs;

use crate::engine::prefetch::prefetch;
use crate::engine::{
    Attachment, Engine, Entry, Layout, LevelLinks, NO_SLOT, Neighbor, SlotSet, Walk, slot,
};
use crate::error::{Result, VectorizerError};

mod heirs;

/// Beam and number of near slots looked at for a place to attach a lost slot to.
const ATTACH_EF: usize = 64;
/// How many members before its turn a row is asked for.
const AHEAD: usize = 8;
/// Lost slots looked up in one call.
const ATTACH_BLOCK: usize = 4096;
/// The share of a level (one in) that may be attached in one round, if it is more than a block: every round looks at all links.
const ROUND_SHARE: usize = 16;

/// One level read back: its members in order, and a row of links for each.
struct Level<'a> {
    members: Vec<u32>,
    /// Whether every slot is a member, as on level 0.
    whole: bool,
    links: Cow<'a, LevelLinks>,
}

impl Level<'static> {
    fn read(engine: &dyn Engine, levels: &[u8], level: usize) -> Result<Self> {
        Ok(Self::of(levels, level, Cow::Owned(engine.links(level)?)))
    }
}

impl<'a> Level<'a> {
    fn of(levels: &[u8], level: usize, links: Cow<'a, LevelLinks>) -> Self {
        let at_least = |height: &u8| usize::from(*height) >= level;
        let slots = levels
            .iter()
            .enumerate()
            .filter(|(_, height)| at_least(height));
        let members: Vec<u32> = slots.map(|(index, _)| slot(index)).collect();
        Self {
            whole: members.len() == levels.len(),
            members,
            links,
        }
    }

    /// The place of a slot among the members.
    fn rank(&self, slot: u32) -> Option<usize> {
        if self.whole {
            let index = slot as usize;
            (index < self.members.len()).then_some(index)
        } else {
            self.members.binary_search(&slot).ok()
        }
    }

    fn row(&self, rank: usize) -> &[u32] {
        &self.links.rows[rank * self.links.degree..][..self.links.degree]
    }
}

/// Which members have been reached, and by which links.
struct Reach {
    reached: Vec<bool>,
    /// A bit for each place of a row whose link first reached its target: these must stay.
    tree: Vec<u128>,
    count: usize,
    queue: Vec<u32>,
}

impl Reach {
    fn new(members: usize) -> Self {
        Self {
            reached: vec![false; members],
            tree: vec![0; members],
            count: 0,
            queue: Vec::new(),
        }
    }

    /// Walks from member `start`, not reached yet, over everything it leads to, the nearest first.
    fn spread(&mut self, level: &Level<'_>, start: usize) {
        self.queue.clear();
        self.reach(start);
        let mut next = 0;
        while let Some(from) = self.queue.get(next).copied() {
            next += 1;
            // A row is a line of memory or two somewhere: asked for before its turn comes.
            if let Some(soon) = self.queue.get(next + AHEAD) {
                prefetch(level.row(*soon as usize));
            }
            let from = from as usize;
            for (place, to) in level.row(from).iter().enumerate() {
                // Broken links are `check`'s to name.
                let Some(rank) = level.rank(*to) else {
                    continue;
                };
                if !self.reached[rank] {
                    self.tree[from] |= 1 << place;
                    self.reach(rank);
                }
            }
        }
    }

    fn reach(&mut self, rank: usize) {
        self.reached[rank] = true;
        self.count += 1;
        self.queue.push(slot(rank));
    }

    fn empty_place(level: &Level<'_>, rank: usize) -> Option<usize> {
        level.row(rank).iter().position(|to| *to == NO_SLOT)
    }

    /// A place of the row that is empty, or whose link nobody depends on: the farthest chosen last, so the last of those.
    fn free_place(&self, level: &Level<'_>, rank: usize) -> Option<usize> {
        let unneeded = |place: &usize| self.tree[rank] >> place & 1 == 0;
        Self::empty_place(level, rank).or_else(|| (0..level.links.degree).rev().find(unneeded))
    }
}

/// Links to be written, after which more can be reached.
#[derive(Debug, Default)]
pub(crate) struct Mend {
    pub(crate) attachments: Vec<Attachment>,
    /// Whether everything can be reached then.
    pub(crate) complete: bool,
}

/// Links that make slots reachable from the entry point which are not: each from the nearest reachable slot that has a place
/// for it. None if everything is reached but `copies`, which are found through others. Where many are lost together, their links become places for the next call.
///
/// Cost: a moment where the device itself finds that nothing is lost; else reads all links back, and looks at each once.
pub(super) fn mend(
    engine: &dyn Engine,
    levels: &[u8],
    copies: &SlotSet,
    entry: Entry,
) -> Result<Mend> {
    let mut mend = Mend {
        attachments: Vec::new(),
        complete: true,
    };
    for number in 0..=entry.level {
        let lost = &mut mend.attachments;
        mend.complete &= attach_level(engine, levels, copies, entry, number, lost)?;
    }
    Ok(mend)
}

/// Whether everything on the level is reached with these attachments.
fn attach_level(
    engine: &dyn Engine,
    levels: &[u8],
    copies: &SlotSet,
    entry: Entry,
    number: usize,
    attachments: &mut Vec<Attachment>,
) -> Result<bool> {
    let there = levels
        .iter()
        .filter(|height| usize::from(**height) >= number);
    let members = there.count() - if number == 0 { copies.len() } else { 0 };
    match engine.reaches_all(number, entry.slot, members) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        // Links can be read back through less memory than it takes to look on the device.
        Err(error) if error.is_full() => {}
        Err(error) => return Err(error),
    }
    let mut level = Level::read(engine, levels, number)?;
    let mut reach = Reach::new(level.members.len());
    let Some(start) = level.rank(entry.slot) else {
        return Ok(true);
    };
    reach.spread(&level, start);
    let most = ATTACH_BLOCK.max(level.members.len() / ROUND_SHARE);
    let lost: Vec<usize> = (0..level.members.len())
        .filter(|rank| !reach.reached[*rank] && !copies.contains(level.members[*rank]))
        .take(most)
        .collect();
    // Straight from the entry point on this level: what such a walk finds is reached.
    let walk = Walk {
        entry: Entry {
            level: number,
            ..entry
        },
        level: number,
        ef: ATTACH_EF,
        k: ATTACH_EF,
    };
    let mut heirs = Heirs::default();
    for lost in lost.chunks(ATTACH_BLOCK) {
        let hits = engine.walk(&rows_of(engine, &level, lost)?, &walk, None)?;
        for (rank, near) in lost.iter().copied().zip(hits.iter()) {
            if reach.reached[rank] {
                continue;
            }
            let Some((from, place)) = heirs.place(&level, &reach, near, rank) else {
                // A tree of n has n - 1 links, and so there is room.
                let slot = level.members[rank];
                return Err(damaged(format!(
                    "level {number} has no room to reach slot {slot}"
                )));
            };
            attachments.push(attach(&mut level, &mut reach, number, from, place, rank));
        }
    }
    Ok(reach.count == members)
}

/// Links `copies`, each with the slot that has its vector, into level 0 of links that were read back, so that a walk that knows of no copies reaches
/// them: through that slot, and where they are many, through each other.
pub(super) fn attach_copies(
    levels: &[u8],
    entry: Entry,
    links: LevelLinks,
    copies: &[(u32, u32)],
) -> Result<LevelLinks> {
    let mut level = Level::of(levels, 0, Cow::Owned(links));
    let mut reach = Reach::new(level.members.len());
    reach.spread(&level, entry.slot as usize);
    let mut heirs = Heirs::default();
    for (copy, first) in copies {
        let to = *copy as usize;
        let degree = level.links.degree;
        level.links.to_mut().rows[to * degree] = *first;
        let near = [Neighbor {
            score: 0.0,
            slot: *first,
        }];
        let Some((from, place)) = heirs.place(&level, &reach, &near, to) else {
            return Err(damaged(format!("there is no room to reach slot {copy}")));
        };
        attach(&mut level, &mut reach, 0, from, place, to);
    }
    Ok(level.links.into_owned())
}

/// Writes the link `from` -> `to` (ranks) into the copy of the level, and reaches what it leads to.
fn attach(
    level: &mut Level<'_>,
    reach: &mut Reach,
    number: usize,
    from: usize,
    place: usize,
    to: usize,
) -> Attachment {
    let degree = level.links.degree;
    level.links.to_mut().rows[from * degree + place] = level.members[to];
    reach.tree[from] |= 1 << place;
    reach.spread(level, to);
    Attachment {
        level: number,
        from: level.members[from],
        place,
        to: level.members[to],
    }
}

fn rows_of(engine: &dyn Engine, level: &Level<'_>, ranks: &[usize]) -> Result<Vec<f32>> {
    let dimension = engine.layout().dimension;
    let mut rows = vec![0.0; ranks.len() * dimension];
    for (rank, row) in ranks.iter().zip(rows.chunks_exact_mut(dimension)) {
        let slot = level.members[*rank];
        engine.read_rows(slot..slot + 1, row)?;
    }
    Ok(rows)
}

/// Proves that degrees and levels are right, and where `all_but` is given, that every other slot can be reached.
pub(super) fn check(
    engine: &dyn Engine,
    levels: &[u8],
    entry: Option<Entry>,
    all_but: Option<&SlotSet>,
) -> Result<()> {
    check_entry(levels, entry)?;
    let Some(entry) = entry else {
        return Ok(());
    };
    for number in 0..=entry.level {
        let level = Level::read(engine, levels, number)?;
        check_level(&level, engine.layout().degree(number), number)?;
        if let Some(copies) = all_but {
            check_reach(&level, number, entry, copies)?;
        }
    }
    Ok(())
}

/// Proves the same of links that are on no device yet, but for reachability: a graph that was just added to may have to be mended.
pub(super) fn check_rows(
    layout: &Layout,
    levels: &[u8],
    entry: Option<Entry>,
    links: &[LevelLinks],
) -> Result<()> {
    check_entry(levels, entry)?;
    let there = entry.map_or(0, |entry| entry.level + 1);
    if links.len() != there {
        return Err(damaged(format!(
            "there are {there} levels and links of {}",
            links.len()
        )));
    }
    for (number, links) in links.iter().enumerate() {
        let level = Level::of(levels, number, Cow::Borrowed(links));
        check_level(&level, layout.degree(number), number)?;
    }
    Ok(())
}

fn check_entry(levels: &[u8], entry: Option<Entry>) -> Result<()> {
    let highest = levels.iter().copied().max().map(usize::from);
    let Some(entry) = entry else {
        return if levels.is_empty() {
            Ok(())
        } else {
            Err(damaged("there is no entry point".to_owned()))
        };
    };
    if levels.get(entry.slot as usize).copied().map(usize::from) != highest
        || Some(entry.level) != highest
    {
        return Err(damaged(format!(
            "slot {} is the entry point and not on the top level",
            entry.slot
        )));
    }
    Ok(())
}

fn check_level(level: &Level<'_>, degree: usize, number: usize) -> Result<()> {
    if level.links.degree != degree || level.links.rows.len() != level.members.len() * degree {
        return Err(damaged(format!(
            "level {number} has {} links, not its members' number",
            level.links.rows.len()
        )));
    }
    let mut sorted = Vec::with_capacity(degree);
    for (rank, from) in level.members.iter().enumerate() {
        let row = level.row(rank);
        let used = row.iter().position(|to| *to == NO_SLOT).unwrap_or(degree);
        if row[used..].iter().any(|to| *to != NO_SLOT) {
            return Err(damaged(format!(
                "slot {from} has a gap in its row on level {number}"
            )));
        }
        sorted.clear();
        sorted.extend_from_slice(&row[..used]);
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(damaged(format!(
                "slot {from} links to {} twice on level {number}",
                twice[0]
            )));
        }
        if sorted.binary_search(from).is_ok() {
            return Err(damaged(format!(
                "slot {from} links to itself on level {number}"
            )));
        }
        if let Some(stranger) = sorted.iter().find(|to| level.rank(**to).is_none()) {
            return Err(damaged(format!(
                "slot {from} links to {stranger}, which is not on level {number}"
            )));
        }
    }
    Ok(())
}

fn check_reach(level: &Level<'_>, number: usize, entry: Entry, copies: &SlotSet) -> Result<()> {
    let mut reach = Reach::new(level.members.len());
    if let Some(start) = level.rank(entry.slot) {
        reach.spread(level, start);
    }
    let lost = |rank: &usize| !reach.reached[*rank] && !copies.contains(level.members[*rank]);
    match (0..level.members.len()).find(lost) {
        Some(rank) => Err(damaged(format!(
            "slot {} cannot be reached on level {number}",
            level.members[rank]
        ))),
        None => Ok(()),
    }
}

fn damaged(reason: String) -> VectorizerError {
    VectorizerError::GraphDamaged { reason }
}
