//! Proof that the device did what it was given. A submission that fails can look finished, with old bytes where its results should be
//! (on Metal a command buffer that runs out of memory or time does). So each ends with a mark of its own, and the marks are read
//! before anybody relies on the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::Precision;
use crate::engine::Scoring;
use crate::engine::gpu::record::{Recorder, hardware, read_back};
use crate::error::Result;
use crate::gpu::device::{Backend, Device};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::gpu::programs::Program;
use crate::kernels::seal::{SEAL, SealParams};
use crate::kernels::{RowsShape, Specialised};

/// Submissions of one piece of work.
const MARKS: u32 = 256;

/// The marks of one piece of work: some submissions that are proved together.
#[derive(Debug)]
pub(super) struct Seal {
    device: Device,
    program: Arc<Program>,
    marks: PooledBuffer,
    /// What its marks begin with; no other piece of work of the process has the same.
    number: u32,
    set: AtomicU32,
}

/// Where a piece of work may go unproved: other drivers report a submission that failed, by an error or by giving the device up.
fn driver_tells(device: &Device) -> bool {
    let lies = device.info().backend == Backend::Metal;
    !lies && !cfg!(any(test, feature = "fault-injection"))
}

impl Seal {
    /// For work that is to be proved in any case, as it is when vectors or links are read back.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub(super) fn of(pool: &MetalBufferPool) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let device = pool.device().clone();
        let program = hardware(&device)?.program(&Specialised {
            kernel: &SEAL,
            rows: RowsShape {
                parts: 1,
                form: Precision::F32,
                chunks: 1,
                chunk_shift: 0,
            },
            scoring: Scoring::NegativeDot,
            subgroups: false,
            constants: Vec::new(),
        })?;
        Ok(Self {
            program,
            marks: pool.lend(Purpose::Storage, "marks", Self::BYTES)?,
            // Never 0, which fresh memory holds.
            number: NEXT.fetch_add(1, Ordering::Relaxed) | 1 << 31,
            set: AtomicU32::new(0),
            device,
        })
    }

    /// For work that changes what is on the device; `None` where the driver tells of submissions that failed.
    ///
    /// # Errors
    /// As [`Seal::of`].
    pub(super) fn of_change(pool: &MetalBufferPool) -> Result<Option<Self>> {
        if driver_tells(pool.device()) {
            return Ok(None);
        }
        Self::of(pool).map(Some)
    }

    /// Ends a submission with the next mark. There is room for some hundred; see [`Seal::is_full`].
    pub(super) fn set<'a>(&'a self, recorder: &mut Recorder<'a>) {
        let submission = self.set.fetch_add(1, Ordering::Relaxed);
        let params = SealParams {
            at: submission % MARKS,
            work: self.number,
            submission,
        };
        recorder.dispatch(&self.program, &params, &[(1, &self.marks)], &[], [1, 1]);
    }

    /// Whether it is time to prove what was done so far: the next marks will take the places of the first.
    pub(super) fn is_full(&self) -> bool {
        let set = self.set.load(Ordering::Relaxed);
        set > 0 && set.is_multiple_of(MARKS)
    }

    /// Copies the marks behind what the same submission brings to `staging`, from byte `at` on.
    pub(super) fn bring<'a>(
        &'a self,
        recorder: &mut Recorder<'a>,
        staging: &'a wgpu::Buffer,
        at: u64,
    ) {
        recorder.copy_range(&self.marks, 0, staging, at, Self::BYTES);
    }

    /// The bytes of all marks.
    pub(super) const BYTES: u64 = MARKS as u64 * size_of::<[u32; 2]>() as u64;

    /// Whether these bytes hold every mark that was set.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        holds(bytes, self.number, self.set.load(Ordering::Relaxed))
    }

    /// The error for work without its mark.
    pub(super) fn broken(&self) -> crate::error::VectorizerError {
        match hardware(&self.device) {
            Ok(hardware) => {
                hardware.failed("a submission was not carried out, and no error said so")
            }
            Err(error) => error,
        }
    }

    /// Waits until everything sealed so far is done, and proves it.
    ///
    /// # Errors
    /// The device failed, or did not do the work.
    pub(super) fn prove(&self) -> Result<()> {
        let pool = MetalBufferPool::new(self.device.clone());
        let mut staging = pool.lend(Purpose::Readback, "marks, read back", Self::BYTES)?;
        let submission = {
            let mut recorder = Recorder::new(&self.device);
            self.bring(&mut recorder, &staging, 0);
            recorder.submit()?
        };
        let mut holds = false;
        read_back(
            &self.device,
            submission,
            &mut staging,
            Self::BYTES,
            |bytes| {
                holds = self.holds(bytes);
            },
        )?;
        if holds { Ok(()) } else { Err(self.broken()) }
    }
}

/// Whether these bytes hold the marks of the latest of `set` submissions of the piece of work of this number.
fn holds(bytes: &[u8], number: u32, set: u32) -> bool {
    let mut latest = set.saturating_sub(MARKS)..set;
    latest.all(|submission| {
        let at = (submission % MARKS) as usize * size_of::<[u32; 2]>();
        let mark = bytes.get(at..at + size_of::<[u32; 2]>());
        mark.is_some_and(|mark| {
            bytemuck::pod_read_unaligned::<[u32; 2]>(mark) == [number, submission]
        })
    })
}

/// The most bytes of a piece that is read back.
const PIECE: u64 = 4 << 20;

/// Brings `bytes` of a buffer from byte `at` on to the host, in pieces of whole units of `unit` bytes, each with proof that it is its own.
/// Where there is no room for much staging memory, in smaller pieces: what is on a full device has to come back.
///
/// # Errors
/// As [`read_sealed`].
pub(super) fn read_pieces(
    pool: &MetalBufferPool,
    from: &wgpu::Buffer,
    mut at: u64,
    bytes: u64,
    unit: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let end = at + bytes;
    let mut units = (PIECE / unit).max(1);
    while at < end {
        let here = (units * unit).min(end - at);
        match read_sealed(pool, from, at, here, &mut take) {
            Ok(()) => at += here,
            Err(error) if error.is_full() && units > 1 => units = units.div_ceil(4),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies `bytes` of a buffer from byte `at` on to the host, with proof that they are its own.
///
/// # Errors
/// No room for staging memory, the device failed, or it did not do the work.
pub(super) fn read_sealed(
    pool: &MetalBufferPool,
    from: &wgpu::Buffer,
    at: u64,
    bytes: u64,
    take: impl FnOnce(&[u8]),
) -> Result<()> {
    let seal = Seal::of(pool)?;
    let mut staging = pool.lend(Purpose::Readback, "read back", bytes + Seal::BYTES)?;
    let submission = {
        let mut recorder = Recorder::new(pool.device());
        recorder.copy_range(from, at, &staging, 0, bytes);
        seal.set(&mut recorder);
        seal.bring(&mut recorder, &staging, bytes);
        recorder.submit()?
    };
    let mut holds = false;
    read_back(
        pool.device(),
        submission,
        &mut staging,
        bytes + Seal::BYTES,
        |view| {
            let (data, marks) =
                view.split_at(view.len() - usize::try_from(Seal::BYTES).unwrap_or(0));
            holds = seal.holds(marks);
            if holds {
                take(data);
            }
        },
    )?;
    if holds { Ok(()) } else { Err(seal.broken()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a buffer holds after `set` submissions of a piece of work, all of them carried out.
    fn marks(number: u32, set: u32) -> Vec<[u32; 2]> {
        let mut marks = vec![[0; 2]; MARKS as usize];
        for submission in 0..set {
            marks[(submission % MARKS) as usize] = [number, submission];
        }
        marks
    }

    #[test]
    fn marks_prove_their_own_work_however_long_the_work_before_was() {
        for set in [1, 2, 255, 256, 257, 600, 70_000] {
            let left: Vec<[u32; 2]> = marks(7, set);
            let left = bytemuck::cast_slice(&left);
            assert!(holds(left, 7, set));
            // The next piece of work finds the buffer as it was left, and the device does nothing.
            for number in [8, 9, 7 + 256, 7 | 1 << 31] {
                for next in [1, 2, 256, 300] {
                    assert!(!holds(left, number, next), "{set}, then {next} of {number}");
                }
            }
            assert!(!holds(left, 7, set + 1), "{set} are not one more");
        }
    }

    #[test]
    fn bytes_that_end_early_prove_nothing() {
        let left = marks(3, 5);
        let left: &[u8] = bytemuck::cast_slice(&left);
        assert!(holds(&left[..40], 3, 5));
        assert!(!holds(&left[..39], 3, 5));
    }

    #[test]
    fn a_piece_of_work_of_many_submissions_is_proved_by_the_device() {
        let device = crate::gpu::testing::device();
        let pool = MetalBufferPool::new(device.clone());
        let seal = Seal::of(&pool).unwrap();
        for _ in 0..MARKS + 3 {
            let mut recorder = Recorder::new(&device);
            seal.set(&mut recorder);
            recorder.submit().unwrap();
        }
        seal.prove().unwrap();
    }
}
