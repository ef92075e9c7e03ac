//! The graph's file: when it is written, and what has to hold before.

use super::{Collection, Writer, Writing};
use crate::error::Result;

impl Collection {
    /// Writes the graph to its file if that has another or none. The guard says that nobody else writes.
    pub(super) fn keep_graph(&self, writer: &mut Writing<'_>) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let state = self.state.read();
        let (linked, unmended) = (state.graph.linked(), state.graph.unmended());
        drop(state);
        if store.is_read_only() || (linked == writer.kept && unmended == 0 && !writer.changed) {
            return Ok(());
        }
        if linked == 0 {
            store.remove_graph()?;
            writer.kept = 0;
            writer.changed = false;
            return Ok(());
        }
        self.mend_what_is_new(writer)?;
        let topology = self.state.read().graph.topology()?;
        store.write_graph(&topology)?;
        writer.kept = linked;
        writer.changed = false;
        Ok(())
    }

    /// The same, where the graph can be built again if it cannot be written.
    pub(super) fn keep_graph_or_warn(&self, writer: &mut Writing<'_>) {
        if let Err(error) = self.keep_graph(writer) {
            tracing::warn!(%error, "the graph could not be written to its file: opening will build it");
        }
    }

    /// Whether so much has been linked since the graph's file was written that it is worth writing again: what a crash costs is then at
    /// most linking as much as the file has.
    pub(super) fn is_due(&self, writer: &Writer) -> bool {
        self.state.read().graph.linked() >= 2 * writer.kept.max(1)
    }

    /// A file is for a graph in which everything can be reached.
    pub(super) fn mend_what_is_new(&self, writer: &mut Writing<'_>) -> Result<()> {
        if self.state.read().graph.unmended() > 0 {
            self.mend(writer)?;
        }
        Ok(())
    }
}
