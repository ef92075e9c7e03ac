//! Which device is taken, and why.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use crate::error::{Result, VectorizerError};
use crate::gpu::memory::Ledger;

/// Which device to take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU if there is one, else the CPU engine.
    #[default]
    Auto,
    /// A GPU, or an error.
    Gpu,
    /// The CPU engine.
    Cpu,
    /// A software adapter such as lavapipe, or an error.
    Software,
    /// The first adapter whose name contains this, whatever the case of letters, or an error.
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = VectorizerError;

    /// `auto`, `gpu`, `cpu`, `software`, or a part of an adapter's name.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.trim().to_lowercase().as_str() {
            "" | "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            "software" => Self::Software,
            name => Self::Named(name.to_owned()),
        })
    }
}

/// A handle on one device and the books of its memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Device(Arc<DeviceInner>);

#[derive(Debug)]
struct DeviceInner {
    name: String,
    ledger: Ledger,
}

impl Device {
    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The books of its memory.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }
}

/// A chosen device and why it was chosen. Collections of one process that choose the same device share it.
#[derive(Debug, Clone)]
pub struct Context {
    device: Device,
    reason: String,
}

static CPU: LazyLock<Device> = LazyLock::new(|| {
    Device(Arc::new(DeviceInner {
        name: "CPU".to_owned(),
        ledger: Ledger::new(None),
    }))
});

impl Context {
    /// The CPU engine.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            device: CPU.clone(),
            reason: "the CPU engine was asked for".to_owned(),
        }
    }

    /// A handle on the device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// Why this device.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device.name(), self.reason)
    }
}
