//! Kernels on their way into submissions.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::Recorder;
use crate::engine::gpu::seal::Seal;
use crate::error::Result;

/// What comes together into one submission: what is short shares one, so that neither small batches nor the upper levels of large ones
/// wait for the host each time; what may take long ends with [`Line::submit`].
pub(in crate::engine::gpu) struct Line<'a> {
    engine: &'a GpuEngine,
    seal: Option<&'a Seal>,
    pub(in crate::engine::gpu) recorder: Recorder<'a>,
}

impl<'a> Line<'a> {
    pub(super) fn new(engine: &'a GpuEngine, seal: Option<&'a Seal>) -> Self {
        Self {
            engine,
            seal,
            recorder: Recorder::new(&engine.device),
        }
    }

    /// Submits what has come together.
    pub(in crate::engine::gpu) fn submit(&mut self) -> Result<()> {
        let next = Recorder::new(&self.engine.device);
        let recorder = std::mem::replace(&mut self.recorder, next);
        self.engine.submit_build(recorder, self.seal)
    }
}
