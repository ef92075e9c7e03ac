//! The handle on a device that everybody shares.

use std::fmt;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde::Serialize;

use crate::config::CollectionOptions;
use crate::engine::{self, MemoryEstimate};
use crate::error::Result;
use crate::gpu::budget::{Allocator, Budget};
#[cfg(feature = "gpu")]
use crate::gpu::hardware::Hardware;
use crate::gpu::memory::{Label, Ledger};
use crate::gpu::metal_buffer_pool::Shelf;
use crate::gpu::tiers::Tier;
use crate::gpu::tuning::TuningInUse;
#[cfg(feature = "gpu")]
use crate::gpu::tuning::file;

/// The interface through which a device is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// Apple's.
    Metal,
    /// Khronos's.
    Vulkan,
    /// Microsoft's.
    Dx12,
    /// None: the CPU engine.
    Cpu,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Dx12 => "dx12",
            Self::Cpu => "cpu",
        })
    }
}

/// What sort of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// A driver that computes on the CPU, such as lavapipe.
    Software,
    /// The CPU engine.
    Cpu,
    /// The driver does not say.
    Unknown,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Software => "software adapter",
            Self::Cpu => "CPU engine",
            Self::Unknown => "unknown",
        })
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name.
    pub name: String,
    /// How it is driven.
    pub backend: Backend,
    /// What sort it is.
    pub kind: DeviceKind,
    /// Its place among the adapters that this process found, best first; `None` for the CPU engine. `#0` chooses the first.
    pub index: Option<usize>,
    /// Where it is plugged in, as in `0000:01:00.0`, where the driver says: what tells equal adapters apart and chooses one.
    pub pci_bus_id: Option<String>,
    /// PCI's number of its vendor; 0 where there is none.
    pub vendor_id: u32,
    /// And of the device.
    pub device_id: u32,
    /// Driver and version, in its own words.
    pub driver: String,
    /// What it can do.
    pub tier: Tier,
    /// Its memory, by its own account.
    pub memory: Option<Budget>,
    /// Whether `auto` takes it.
    pub taken: bool,
}

impl DeviceInfo {
    /// The CPU engine.
    pub(crate) fn cpu(taken: bool) -> Self {
        Self {
            name: "CPU".to_owned(),
            backend: Backend::Cpu,
            kind: DeviceKind::Cpu,
            index: None,
            pci_bus_id: None,
            vendor_id: 0,
            device_id: 0,
            driver: String::new(),
            tier: Tier::cpu(),
            memory: crate::gpu::budget::of_system(),
            taken,
        }
    }
}

/// Where no limit is set, this share of what a device recommends may be taken: the rest is for the driver, and for those who draw.
pub const DEFAULT_SHARE: f64 = 0.9;

/// Where a GPU does not say what it recommends, no more than this may be taken, in bytes.
pub const UNKNOWN_LIMIT: u64 = 4 << 30;

/// Bytes that stay free when vectors or links are added, at most.
const RESERVE: u64 = 1 << 20;

/// A handle on one device and on the books in which what is taken through it stands. Cheap to clone; the process shares one device
/// per adapter.
#[derive(Debug, Clone)]
pub struct Device {
    inner: Arc<Inner>,
    /// The device's own books and pool, or those of a context or a collection with a limit.
    ledger: Ledger,
    shelf: Arc<Shelf>,
}

/// The books of collections that are in RAM and belong on a device.
type Absent = Arc<Mutex<Vec<(u64, Ledger)>>>;

/// As long as it lives, a collection is in RAM that belongs on a device.
#[derive(Debug)]
pub(crate) struct Absence {
    absent: Absent,
    number: u64,
}

impl Drop for Absence {
    fn drop(&mut self) {
        let number = self.number;
        self.absent.lock().retain(|(other, _)| *other != number);
    }
}

#[derive(Debug)]
struct Inner {
    info: DeviceInfo,
    ledger: Ledger,
    absent: Absent,
    /// How work is cut up for it; none for the CPU engine.
    tuning: Option<TuningInUse>,
    #[cfg(feature = "gpu")]
    hardware: Option<Hardware>,
}

static CPU: LazyLock<Device> = LazyLock::new(|| {
    let info = DeviceInfo::cpu(false);
    let ledger = Ledger::new(default_limit(info.memory));
    Device::of(Inner {
        info,
        ledger,
        absent: Absent::default(),
        tuning: None,
        #[cfg(feature = "gpu")]
        hardware: None,
    })
});

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a number of bytes is a number of bytes"
)]
fn default_limit(memory: Option<Budget>) -> Option<u64> {
    Some((memory?.recommended as f64 * DEFAULT_SHARE) as u64)
}

impl Device {
    fn of(inner: Inner) -> Self {
        let ledger = inner.ledger.clone();
        Self {
            inner: Arc::new(inner),
            shelf: Arc::new(Shelf::new(ledger.clone())),
            ledger,
        }
    }

    /// The CPU, with one set of books for the process.
    pub(crate) fn cpu() -> Self {
        CPU.clone()
    }

    /// The CPU with books that nobody shares, so that a test can count on them.
    #[cfg(test)]
    pub(crate) fn lone_cpu() -> Self {
        Self::of(Inner {
            info: DeviceInfo::cpu(false),
            ledger: Ledger::default(),
            absent: Absent::default(),
            tuning: None,
            #[cfg(feature = "gpu")]
            hardware: None,
        })
    }

    /// A device that was just opened.
    #[cfg(feature = "gpu")]
    pub(crate) fn opened(info: DeviceInfo, mut hardware: Hardware, lost: Option<&Self>) -> Self {
        // What was spilled from a device that was lost belongs on the one that takes its place.
        let absent = lost.map_or_else(Absent::default, |lost| Arc::clone(&lost.inner.absent));
        // What goes beyond a GPU's memory may lie in the host's without a word.
        let ledger = Ledger::new(default_limit(info.memory).or(Some(UNKNOWN_LIMIT)));
        hardware.obey(ledger.faults().clone());
        let tuning = file::in_use(file::Place::of(&info), &info);
        Self::of(Inner {
            info,
            ledger,
            absent,
            tuning: Some(tuning),
            hardware: Some(hardware),
        })
    }

    /// The same device with books of its own, which stand in this handle's too. With a limit it gets a pool of its own as well, so
    /// that the limit holds for everything that is taken through it.
    #[must_use]
    pub fn with_limit(&self, limit: Option<u64>) -> Self {
        let ledger = self.ledger.child(limit);
        let shelf = match limit {
            Some(_) => Arc::new(Shelf::new(ledger.clone())),
            None => Arc::clone(&self.shelf),
        };
        Self {
            inner: Arc::clone(&self.inner),
            ledger,
            shelf,
        }
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.info.name
    }

    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.info
    }

    /// What it can do.
    #[must_use]
    pub fn tier(&self) -> &Tier {
        &self.inner.info.tier
    }

    /// How its work is cut up, and where that is from: read when the device was opened. `None` for the CPU engine, which has nothing of the kind.
    #[must_use]
    pub fn tuning(&self) -> Option<&TuningInUse> {
        self.inner.tuning.as_ref()
    }

    /// Whether this is the CPU engine.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.inner.info.kind == DeviceKind::Cpu
    }

    /// The books in which what is taken through this handle stands.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The books of the whole device, whoever takes.
    #[must_use]
    pub fn whole_ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// See [`Context::estimate_memory_with`](crate::gpu::context::Context::estimate_memory_with).
    pub(crate) fn estimate_memory(
        &self,
        vectors: usize,
        dimension: usize,
        options: &CollectionOptions,
    ) -> MemoryEstimate {
        engine::estimate_memory(self, vectors, dimension, options)
    }

    /// Says whether there is room for `bytes` more, before any of them is taken. Where there is not, what the pool keeps is given up first.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`](crate::error::VectorizerError::VramLimitExceeded), with the limit that is in the way.
    pub(crate) fn admit(&self, bytes: u64) -> Result<()> {
        // So that vectors and links do not take the last byte: without staging memory nothing could be read back.
        let reserve = RESERVE.min(self.ledger.lowest_limit().unwrap_or(u64::MAX) / 64);
        let wanted = bytes.saturating_add(reserve);
        let admitted = self.ledger.admit(wanted);
        #[cfg(feature = "gpu")]
        if admitted.is_err() && self.shelf.clear() > 0 {
            return self.ledger.admit(wanted);
        }
        admitted
    }

    /// Gives up the transient memory that building and adding used last and no search has used since.
    pub(crate) fn settle(&self) {
        #[cfg(feature = "gpu")]
        self.shelf.settle();
    }

    /// Its memory, by its own account, now; for the CPU engine the system's and this process's. `None` where nobody says.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        #[cfg(feature = "gpu")]
        if let Some(hardware) = self.hardware() {
            return crate::gpu::budget::of(hardware.adapter());
        }
        crate::gpu::budget::of_system()
    }

    /// What its allocator holds, where the driver's interface tells.
    #[must_use]
    pub fn allocator(&self) -> Option<Allocator> {
        #[cfg(feature = "gpu")]
        return self.hardware()?.allocator();
        #[cfg(not(feature = "gpu"))]
        return None;
    }

    /// Notes that what stands in `books` belongs on this device and lies in RAM, as long as the answer lives.
    pub(crate) fn note_absence(&self, books: Ledger) -> Absence {
        let absent = Arc::clone(&self.inner.absent);
        let mut list = absent.lock();
        let number = list.last().map_or(0, |(number, _)| number + 1);
        list.push((number, books));
        drop(list);
        Absence { absent, number }
    }

    /// Bytes that belong on this device and lie in RAM, by what they are for.
    pub(crate) fn in_ram(&self) -> Vec<(Label, u64)> {
        let absent = self.inner.absent.lock();
        [Label::Rows, Label::Graph]
            .into_iter()
            .map(|label| {
                let bytes = absent.iter().map(|(_, books)| books.account(label).taken);
                (label, bytes.sum())
            })
            .filter(|(_, bytes)| *bytes > 0)
            .collect()
    }

    /// The faults ordered of this device, for all its handles.
    #[cfg(any(test, feature = "fault-injection"))]
    #[must_use]
    pub fn faults(&self) -> &crate::gpu::faults::Faults {
        self.inner.ledger.faults()
    }

    /// Whether both are handles on the same device.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What the pool keeps.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// The opened adapter; `None` for the CPU.
    #[cfg(feature = "gpu")]
    pub(crate) fn hardware(&self) -> Option<&Hardware> {
        self.inner.hardware.as_ref()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.inner.info.backend)
    }
}
