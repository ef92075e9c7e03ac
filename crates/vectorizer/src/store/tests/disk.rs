//! A disk in memory that counts, refuses, and forgets what was not synced.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// What the medium can write at once or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Write {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

impl Write {
    fn apply(&self, medium: &mut Vec<u8>) {
        match self {
            Self::Length(length) => medium.resize(*length as usize, 0),
            Self::Bytes(offset, bytes) => {
                let start = *offset as usize;
                medium.resize(medium.len().max(start + bytes.len()), 0);
                medium[start..start + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// What a program sees.
    now: Vec<u8>,
    /// What is on the medium for good.
    safe: Vec<u8>,
    /// What came since the last sync.
    pending: Vec<Write>,
    operations: usize,
    refuse_at: usize,
    /// Whether it refuses for good once it has refused.
    dead: bool,
    lasting: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

/// What of the unsynced a power cut leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left {
    Nothing,
    Everything,
    /// Each write whole, not at all, or in some of its sectors; by this seed.
    Some(u64),
}

impl Disk {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            safe: bytes.clone(),
            now: bytes,
            refuse_at: usize::MAX,
            ..Inner::default()
        })))
    }

    /// How many writes, changes of length and syncs there were.
    pub(super) fn operations(&self) -> usize {
        self.0.lock().operations
    }

    /// Refuses the operation of this number, counted from now; and, if that is `lasting`, all that follow.
    pub(super) fn refuse(&self, number: usize, lasting: bool) {
        let mut inner = self.0.lock();
        inner.operations = 0;
        inner.refuse_at = number;
        inner.lasting = lasting;
    }

    /// What a program sees now.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().now.clone()
    }

    /// The disk that is found after the power went.
    pub(super) fn after_power_cut(&self, left: Left) -> Self {
        let inner = self.0.lock();
        let mut medium = inner.safe.clone();
        let mut random = fastrand::Rng::with_seed(match left {
            Left::Some(seed) => seed,
            _ => 0,
        });
        for write in &inner.pending {
            let part = match left {
                Left::Nothing => 0,
                Left::Everything => 1,
                Left::Some(_) => random.u8(..3),
            };
            match (part, write) {
                (0, _) => {}
                (2, Write::Bytes(offset, bytes)) => {
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.bool() {
                            let start = offset + (number * SECTOR) as u64;
                            Write::Bytes(start, sector.to_vec()).apply(&mut medium);
                        }
                    }
                }
                _ => write.apply(&mut medium),
            }
        }
        Self::new(medium)
    }

    fn operate(&self, work: impl FnOnce(&mut Inner)) -> io::Result<()> {
        let mut inner = self.0.lock();
        let number = inner.operations;
        inner.operations += 1;
        if inner.dead || number == inner.refuse_at {
            inner.dead = inner.lasting;
            return Err(io::Error::other("the disk refuses"));
        }
        work(&mut inner);
        Ok(())
    }

    fn write_one(&self, write: Write) -> io::Result<()> {
        self.operate(|inner| {
            write.apply(&mut inner.now);
            inner.pending.push(write);
        })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock();
        let from = usize::try_from(offset)
            .ok()
            .and_then(|start| inner.now.get(start..)?.get(..out.len()));
        let from = from.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write_one(Write::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|inner| {
            inner.safe.clone_from(&inner.now);
            inner.pending.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_one(Write::Bytes(offset, data.to_vec()))
    }
}
