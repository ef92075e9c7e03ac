//! A graph away from its device: read back, checked, and put back on this device or another.

use super::{Copies, HnswGraph, topology};
use crate::config::MAX_LEVEL;
use crate::engine::{Entry, LevelLinks, NO_SLOT, SlotSet};
use crate::error::{Result, VectorizerError};

/// Everything that is a graph's and not its vectors': what a file keeps, and what moves to another device.
/// The slots are the first `levels.len()` of the vectors, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// The level of each linked slot.
    pub levels: Vec<u8>,
    /// Where walks begin: a slot of the highest level. `None` if nothing is linked.
    pub entry: Option<Entry>,
    /// The links of each level, from 0 to the entry's.
    pub links: Vec<LevelLinks>,
}

impl HnswGraph {
    /// The graph as it is, read back. Cost: all links, once.
    ///
    /// # Errors
    /// The device failed.
    pub fn topology(&self) -> Result<Topology> {
        let above = self.entry.map_or(0, |entry| entry.level + 1);
        Ok(Topology {
            levels: self.levels.clone(),
            entry: self.entry,
            links: (0..above)
                .map(|level| self.links(level))
                .collect::<Result<_>>()?,
        })
    }

    /// The graph as it is, read back, for a program that knows no [copies](super::copies): these are linked, too.
    pub(crate) fn topology_with_copies(&self) -> Result<Topology> {
        let mut topology = self.topology()?;
        if let Some(entry) = topology.entry
            && !self.copies.is_empty()
        {
            let bottom = topology.links.remove(0);
            let pairs = self.copies.pairs();
            let bottom = topology::attach_copies(&self.levels, entry, bottom, &pairs)?;
            topology.links.insert(0, bottom);
        }
        Ok(topology)
    }

    /// Puts a graph in the place of the one there is. It links the first vectors; those behind are a tail. The vectors have to be those
    /// it was built over, or searches find little. That everything can be reached is not asked for: see [`HnswGraph::check`].
    ///
    /// # Errors
    /// [`VectorizerError::GraphDamaged`] if it breaks a rule of this graph's: more slots than vectors, rows of another width, links to
    /// nowhere, twice, or to themselves, an entry point that is not on the highest level; no room, or the device failed.
    /// The graph is as before.
    pub fn restore_topology(&mut self, topology: Topology) -> Result<()> {
        self.check_topology(&topology)?;
        let Topology {
            levels,
            entry,
            links,
        } = topology;
        let engine = self.storage.engine_mut();
        engine.put_links(&levels, &links)?;
        self.copies = self.copies_in(&levels, entry, &links);
        self.levels = levels;
        self.entry = entry;
        self.unmended = 0;
        Ok(())
    }

    /// Which of the slots are copies that nothing is linked to: a graph from elsewhere may have linked its copies.
    fn copies_in(&self, levels: &[u8], entry: Option<Entry>, links: &[LevelLinks]) -> Copies {
        let mut copies = Copies::default();
        let (Some(level), Some(entry)) = (links.first(), entry) else {
            return copies;
        };
        let rows = (0..).zip(level.rows.chunks_exact(level.degree));
        let alone = rows.filter(|(slot, row)| {
            row[0] == NO_SLOT && levels[*slot as usize] == 0 && *slot != entry.slot
        });
        let alone = alone.filter_map(|(slot, _)| Some((slot, self.storage.first_of(slot)?)));
        let alone: Vec<(u32, u32)> = alone.collect();
        if alone.is_empty() {
            return copies;
        }
        let linked: SlotSet = level.rows.iter().copied().collect();
        for (copy, first) in alone {
            if !linked.contains(copy) {
                copies.insert(copy, first);
            }
        }
        copies
    }

    /// Says whether a graph keeps the rules of this one's, but for how many vectors there are.
    pub(crate) fn check_topology(&self, topology: &Topology) -> Result<()> {
        let Topology {
            levels,
            entry,
            links,
        } = topology;
        if let Some(level) = levels.iter().find(|level| usize::from(**level) > MAX_LEVEL) {
            return Err(VectorizerError::GraphDamaged {
                reason: format!("a slot is on level {level}, the highest possible is {MAX_LEVEL}"),
            });
        }
        topology::check_rows(&self.storage.engine().layout(), levels, *entry, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
    use crate::gpu::context::Context;
    use crate::models::DistanceMetric;
    use std::ops::ControlFlow;

    const DIMENSION: usize = 6;

    fn contexts() -> Vec<Context> {
        vec![
            Context::cpu(),
            #[cfg(feature = "gpu")]
            Context::of_device(crate::gpu::testing::device()),
        ]
    }

    fn rows(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..count * DIMENSION)
            .map(|_| f32::from(random.u8(..)))
            .collect()
    }

    /// Of odd degrees, so that nothing fits by luck.
    fn empty(context: &Context) -> HnswGraph {
        let hnsw = HnswConfig {
            max_connections: 5,
            level_multiplier: 0.6,
            ..HnswConfig::default()
        };
        let options = CollectionOptions {
            hnsw,
            ..CollectionOptions::default()
        };
        HnswGraph::new(context, DIMENSION, DistanceMetric::Euclidean, options).unwrap()
    }

    fn built(context: &Context, count: usize) -> HnswGraph {
        let mut graph = empty(context);
        graph.append(&rows(count)).unwrap();
        graph.build(|_| ControlFlow::Continue(())).unwrap();
        graph
    }

    fn answers(graph: &HnswGraph) -> crate::engine::Hits {
        let options = SearchOptions {
            path: SearchPath::Graph,
            ..SearchOptions::default()
        };
        graph.search(&rows(40), 7, &options).unwrap().hits
    }

    #[test]
    fn a_graph_moves_between_engines_and_stays_the_same() {
        for from in contexts() {
            let source = built(&from, 701);
            let image = source.topology().unwrap();
            assert!(image.links.len() > 2, "{from}: a graph with levels");
            for to in contexts() {
                let mut copy = empty(&to);
                copy.append(&rows(730)).unwrap();
                copy.restore_topology(image.clone()).unwrap();
                assert_eq!(copy.topology().unwrap(), image, "{from} to {to}");
                copy.check().unwrap();
                assert_eq!(copy.linked(), 701);
                // What comes later is linked to it as to the first.
                copy.build(|_| ControlFlow::Continue(())).unwrap();
                copy.check().unwrap();
                assert_eq!(copy.linked(), 730);
                let mut same = empty(&to);
                same.append(&rows(701)).unwrap();
                same.restore_topology(image.clone()).unwrap();
                assert_eq!(answers(&same), answers(&source), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_graph_of_nothing_takes_the_place_of_one() {
        for context in contexts() {
            let mut graph = built(&context, 300);
            graph.restore_topology(Topology::default()).unwrap();
            assert_eq!((graph.linked(), graph.len()), (0, 300));
            assert_eq!(graph.topology().unwrap(), Topology::default());
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            graph.check().unwrap();
        }
    }

    #[test]
    fn damage_is_refused_and_changes_nothing() {
        for context in contexts() {
            let mut graph = built(&context, 500);
            let good = graph.topology().unwrap();
            let top = good.links.len() - 1;
            let low = good.levels.iter().position(|level| *level == 0).unwrap();
            type Harm<'a> = (&'a str, &'a dyn Fn(&mut Topology));
            let harm: [Harm<'_>; 14] = [
                ("more slots than vectors", &|t| t.levels.push(0)),
                ("a level beyond all", &|t| t.levels[3] = 31),
                ("no entry", &|t| t.entry = None),
                ("an entry that is low", &|t| {
                    t.entry.as_mut().unwrap().slot = low as u32
                }),
                ("an entry out of range", &|t| {
                    t.entry.as_mut().unwrap().slot = 500
                }),
                ("an entry's level too high", &|t| {
                    t.entry.as_mut().unwrap().level += 1
                }),
                ("a level missing", &|t| drop(t.links.pop())),
                ("a level too many", &|t| t.links.push(t.links[top].clone())),
                ("a row missing", &|t| t.links[0].rows.truncate(499 * 10)),
                ("another degree", &|t| t.links[1].degree = 10),
                ("a link to nowhere", &|t| t.links[0].rows[0] = 500),
                ("a link to itself", &|t| t.links[0].rows[70] = 7),
                ("a link twice", &|t| t.links[0].rows[1] = t.links[0].rows[0]),
                ("a gap", &|t| t.links[0].rows[0] = NO_SLOT),
            ];
            for (what, harm) in harm {
                let mut bad = good.clone();
                harm(&mut bad);
                let error = graph.restore_topology(bad).unwrap_err();
                assert!(
                    matches!(error, VectorizerError::GraphDamaged { .. }),
                    "{context}, {what}: {error}"
                );
                assert_eq!(graph.topology().unwrap(), good, "{context}, {what}");
            }
            let mut low_target = good.clone();
            low_target.links[1].rows[0] = low as u32;
            graph.restore_topology(low_target).unwrap_err();
        }
    }

    #[test]
    fn what_is_out_of_reach_is_damage_only_where_a_build_has_ended() {
        for context in contexts() {
            let mut graph = built(&context, 300);
            let mut lost = graph.topology().unwrap();
            let low = lost.levels.iter().position(|level| *level == 0).unwrap();
            let degree = lost.links[0].degree;
            for row in lost.links[0].rows.chunks_exact_mut(degree) {
                if let Some(place) = row.iter().position(|to| *to == low as u32) {
                    row[place..].fill(NO_SLOT);
                }
            }
            graph.restore_topology(lost).unwrap();
            let error = graph.check().unwrap_err();
            assert!(error.to_string().contains("cannot be reached"), "{error}");
            graph.set_unmended(1);
            graph.check().unwrap();
            // The end of a build attaches it, and proves it again.
            graph.build(|_| ControlFlow::Continue(())).unwrap();
            assert_eq!(graph.unmended(), 0);
            graph.check().unwrap();
        }
    }
}
