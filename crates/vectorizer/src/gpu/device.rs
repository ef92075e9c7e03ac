//! The handle on a device that everybody shares.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::Serialize;

use crate::gpu::budget::Budget;
#[cfg(feature = "gpu")]
use crate::gpu::hardware::Hardware;
use crate::gpu::memory::Ledger;
use crate::gpu::metal_buffer_pool::Shelf;
use crate::gpu::tiers::Tier;

/// The interface through which a device is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
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
        f.write_str(match self {
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
        f.write_str(match self {
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
pub struct DeviceInfo {
    /// Its name.
    pub name: String,
    /// How it is driven.
    pub backend: Backend,
    /// What sort it is.
    pub kind: DeviceKind,
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
            driver: String::new(),
            tier: Tier::cpu(),
            memory: None,
            taken,
        }
    }
}

/// A handle on one device and the books of its memory. Cheap to clone; the process shares one per adapter.
#[derive(Debug, Clone)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    info: DeviceInfo,
    ledger: Ledger,
    shelf: Arc<Shelf>,
    #[cfg(feature = "gpu")]
    hardware: Option<Hardware>,
}

static CPU: LazyLock<Device> = LazyLock::new(|| {
    Device(Arc::new(Inner {
        info: DeviceInfo::cpu(false),
        ledger: Ledger::new(None),
        shelf: Arc::default(),
        #[cfg(feature = "gpu")]
        hardware: None,
    }))
});

impl Device {
    /// The CPU, with one set of books for the process.
    pub(crate) fn cpu() -> Self {
        CPU.clone()
    }

    /// A device that was just opened.
    #[cfg(feature = "gpu")]
    pub(crate) fn opened(info: DeviceInfo, hardware: Hardware) -> Self {
        Self(Arc::new(Inner {
            info,
            ledger: Ledger::new(None),
            shelf: Arc::default(),
            hardware: Some(hardware),
        }))
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// What it can do.
    #[must_use]
    pub fn tier(&self) -> &Tier {
        &self.0.info.tier
    }

    /// Whether this is the CPU engine.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.0.info.kind == DeviceKind::Cpu
    }

    /// The books of its memory.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Its memory, by its own account, now. `None` where the device does not say, and for the CPU.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        #[cfg(feature = "gpu")]
        return crate::gpu::budget::of(self.hardware()?.adapter());
        #[cfg(not(feature = "gpu"))]
        return None;
    }

    /// Whether both are handles on the same device.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What the pool keeps.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.0.shelf
    }

    /// The opened adapter; `None` for the CPU.
    #[cfg(feature = "gpu")]
    pub(crate) fn hardware(&self) -> Option<&Hardware> {
        self.0.hardware.as_ref()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0.info.backend)
    }
}
