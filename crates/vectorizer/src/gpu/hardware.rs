//! An opened adapter: its queue, its errors, and waits that end.
//!
//! wgpu reports errors beside the calls that cause them and panics where nobody listens. Here every call runs inside
//! [`Hardware::guarded`], which listens and answers with an error of ours; what comes up outside is kept and
//! reported by the next guarded call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Result, VectorizerError};
use crate::gpu::faults::{Fault, Faults, Point};
use crate::gpu::lanes;
use crate::gpu::programs::Programs;
use crate::gpu::tiers::Tier;

/// No wait for the device is longer than this: one submission is a fraction of a second of work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the callbacks of a device write and everybody reads.
#[derive(Debug, Default)]
struct Health {
    lost: AtomicBool,
    failure: Mutex<Option<VectorizerError>>,
}

/// An opened adapter.
#[derive(Debug)]
pub(crate) struct Hardware {
    name: String,
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    programs: Programs,
    health: Arc<Health>,
    faults: Faults,
    /// Whether subgroups came out whole when they were tried.
    whole_subgroups: AtomicBool,
    /// Who opened it: a driver does not go along to a forked child.
    generation: u32,
}

impl Hardware {
    /// Opens `adapter` with all its limits and the features the kernels can use.
    pub(crate) fn open(adapter: &wgpu::Adapter) -> Result<Self> {
        let name = adapter.get_info().name;
        let features = adapter.features() & Tier::wanted_features();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("vectorizer"),
            required_features: features,
            required_limits: adapter.limits(),
            experimental_features: experimental(features),
            // Small blocks: memory we did not take is not held either.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                VectorizerError::DeviceFailed {
                    device: name.clone(),
                    reason: error.to_string(),
                }
            })?;
        let health = Arc::new(Health::default());
        let (listener, of) = (Arc::clone(&health), name.clone());
        device.on_uncaptured_error(Arc::new(move |error| {
            tracing::error!(device = of, %error, "the device reported an error");
            listener.failure.lock().get_or_insert(translate(&of, error));
        }));
        let (listener, of) = (Arc::clone(&health), name.clone());
        device.set_device_lost_callback(move |reason, message| {
            tracing::error!(device = of, ?reason, message, "the device is lost");
            listener.lost.store(true, Ordering::Release);
        });
        let hardware = Self {
            name,
            adapter: adapter.clone(),
            device,
            queue,
            programs: Programs::default(),
            health,
            faults: Faults::default(),
            generation: crate::fork::generation(),
            whole_subgroups: AtomicBool::new(true),
        };
        if features.contains(wgpu::Features::SUBGROUP) {
            let whole = lanes::are_whole(&hardware);
            hardware.whole_subgroups.store(whole, Ordering::Relaxed);
        }
        Ok(hardware)
    }

    /// Whether subgroups are whole, as far as a trial tells; kernels that count on it are not taken where they are not.
    pub(crate) fn has_whole_subgroups(&self) -> bool {
        self.whole_subgroups.load(Ordering::Relaxed)
    }

    /// As if the trial had come out so.
    #[cfg(test)]
    pub(crate) fn pretend_lanes(&self, whole: bool) {
        self.whole_subgroups.store(whole, Ordering::Relaxed);
    }

    /// The adapter, to be asked for figures.
    pub(crate) fn adapter(&self) -> &wgpu::Adapter {
        &self.adapter
    }

    /// The queue, to write to buffers. One for all threads: work runs in the order it was submitted.
    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Hands work to the device. To be called inside [`Hardware::guarded`].
    ///
    /// # Errors
    /// The device is lost.
    pub(crate) fn submit(&self, work: wgpu::CommandBuffer) -> Result<wgpu::SubmissionIndex> {
        self.submit_all(Some(work))
    }

    /// Hands over what was written to buffers. To be called inside [`Hardware::guarded`].
    ///
    /// # Errors
    /// The device is lost.
    pub(crate) fn flush(&self) -> Result<wgpu::SubmissionIndex> {
        self.submit_all(None)
    }

    fn submit_all(&self, work: Option<wgpu::CommandBuffer>) -> Result<wgpu::SubmissionIndex> {
        match self.faults.meet(Point::Submit) {
            Some(Fault::Fail) => return Err(self.failed("a submission was refused, as ordered")),
            Some(Fault::Lose | Fault::Hang) => return Err(self.lose("as ordered")),
            Some(Fault::Stale) => return Ok(self.queue.submit([])),
            None => {}
        }
        Ok(self.queue.submit(work))
    }

    /// Asks for `bytes` of a buffer to be opened to the host; `done` is told when they are.
    ///
    /// # Errors
    /// The device refuses, or is lost.
    pub(crate) fn map(
        &self,
        buffer: &wgpu::Buffer,
        mode: wgpu::MapMode,
        bytes: u64,
        done: impl FnOnce(std::result::Result<(), wgpu::BufferAsyncError>) + Send + 'static,
    ) -> Result<()> {
        match self.faults.meet(Point::Map) {
            Some(Fault::Fail) => return Err(self.failed("memory was not mapped, as ordered")),
            Some(Fault::Lose | Fault::Hang) => return Err(self.lose("as ordered")),
            Some(Fault::Stale) | None => {}
        }
        self.guarded(|_| {
            buffer.map_async(mode, 0..bytes, done);
            Ok(())
        })
    }

    /// What the interface's allocator holds; `None` where it has none.
    pub(crate) fn allocator(&self) -> Option<crate::gpu::budget::Allocator> {
        let report = self.device.generate_allocator_report()?;
        Some(crate::gpu::budget::Allocator {
            reserved: report.total_reserved_bytes,
            allocated: report.total_allocated_bytes,
        })
    }

    /// The faults ordered of this device.
    pub(crate) fn obey(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Gives the device up: no call gets an answer from it any more.
    pub(crate) fn lose(&self, why: &str) -> VectorizerError {
        if !self.health.lost.swap(true, Ordering::AcqRel) {
            tracing::error!(device = self.name, why, "the device is given up");
        }
        self.lost()
    }

    /// The compiled kernels.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Looks after finished work without waiting: its callbacks run.
    pub(crate) fn tend(&self) -> Result<()> {
        self.poll(wgpu::PollType::Poll)
    }

    /// Whether the device is gone for good.
    pub(crate) fn is_lost(&self) -> bool {
        self.health.lost.load(Ordering::Acquire)
    }

    /// Nothing, if the device can be used.
    ///
    /// # Errors
    /// The device is lost, or an error came up since the last call; or this is a forked child of the process that opened it.
    pub(crate) fn alive(&self) -> Result<()> {
        if self.generation != crate::fork::generation() {
            return Err(VectorizerError::Forked {
                reason: "its device belongs to the process that opened it",
            });
        }
        if self.is_lost() {
            return Err(self.lost());
        }
        self.health.failure.lock().take().map_or(Ok(()), Err)
    }

    /// Runs `work` and reports what the device complains of meanwhile, on this thread.
    pub(crate) fn guarded<T>(&self, work: impl FnOnce(&wgpu::Device) -> Result<T>) -> Result<T> {
        self.alive()?;
        let scopes = [
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::Internal,
        ]
        .map(|filter| self.device.push_error_scope(filter));
        let answer = work(&self.device);
        let mut complaint = None;
        for scope in scopes.into_iter().rev() {
            complaint = pollster::block_on(scope.pop()).or(complaint);
        }
        if complaint.is_some() {
            // A lost device complains of every call; whether that is why, its callback says.
            self.tend()?;
        }
        match complaint {
            Some(error) => Err(translate(&self.name, error)),
            None if self.is_lost() => Err(self.lost()),
            None => answer,
        }
    }

    /// Waits until `submission` is done, and its callbacks with it, but no longer than [`PATIENCE`]. A device that does not answer
    /// for so long is given up: later calls do not wait for it again.
    ///
    /// # Errors
    /// The device is lost or does not answer.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        match self.faults.meet(Point::Wait) {
            Some(Fault::Fail) => return Err(self.failed("a wait was refused, as ordered")),
            Some(Fault::Hang) => return Err(self.lose("it does not answer, as ordered")),
            Some(Fault::Lose) => return Err(self.lose("as ordered")),
            Some(Fault::Stale) | None => {}
        }
        self.poll(wgpu::PollType::Wait {
            submission_index: Some(submission),
            timeout: Some(PATIENCE),
        })
    }

    fn poll(&self, how: wgpu::PollType) -> Result<()> {
        if self.is_lost() {
            return Err(self.lost());
        }
        // wgpu panics in `poll` when the driver reports a loss; the callback says so too, but perhaps later.
        let answer = catch_unwind(AssertUnwindSafe(|| self.device.poll(how)));
        match answer {
            _ if self.is_lost() => Err(self.lost()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) => Err(self.lose("it does not answer")),
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.lose("its driver panicked")),
        }
    }

    /// An error in the device's own words.
    pub(crate) fn failed(&self, reason: impl Into<String>) -> VectorizerError {
        VectorizerError::DeviceFailed {
            device: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn lost(&self) -> VectorizerError {
        VectorizerError::DeviceLost {
            device: self.name.clone(),
        }
    }

    /// Gives the device up, as a driver that dies would.
    #[cfg(test)]
    pub(crate) fn destroy(&self) {
        self.device.destroy();
    }
}

/// Leave to use features that wgpu calls experimental, where some of `features` are.
#[expect(
    unsafe_code,
    reason = "wgpu wants to be told that such features may have faults"
)]
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        // SAFETY: of these features we use products of matrices alone, in one kernel whose text is ours. It loads from and stores to places that
        // lie whole within their buffers, as its file says, and every answer it has a part in is scored again by other kernels.
        unsafe { wgpu::ExperimentalFeatures::enabled() }
    } else {
        wgpu::ExperimentalFeatures::disabled()
    }
}

fn translate(device: &str, error: wgpu::Error) -> VectorizerError {
    match error {
        wgpu::Error::OutOfMemory { .. } => VectorizerError::BufferAllocationFailed,
        other => VectorizerError::DeviceFailed {
            device: device.to_owned(),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;

    #[test]
    fn complaints_outside_a_guard_are_reported_by_the_next_one() {
        let device = testing::fresh_device();
        let hardware = device.hardware().unwrap();
        let _ = hardware.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("impossible"),
            size: 64,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let error = hardware.guarded(|_| Ok(())).unwrap_err();
        assert!(
            matches!(error, VectorizerError::DeviceFailed { .. }),
            "{error}"
        );
        hardware.guarded(|_| Ok(())).unwrap();
    }

    #[test]
    fn a_lost_device_answers_every_call_with_an_error() {
        let device = testing::fresh_device();
        let hardware = device.hardware().unwrap();
        let submission = hardware.queue().submit([]);
        hardware.wait(submission.clone()).unwrap();
        hardware.destroy();
        let errors = [
            hardware.wait(submission).err(),
            hardware.guarded(|_| Ok(())).err(),
            hardware.alive().err(),
        ];
        for error in errors {
            assert!(
                matches!(error, Some(VectorizerError::DeviceLost { .. })),
                "{error:?}"
            );
        }
    }
}
