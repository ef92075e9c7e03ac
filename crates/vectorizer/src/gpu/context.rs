//! Which device is taken, and why.

use std::fmt;
use std::str::FromStr;

use crate::config::{CollectionOptions, HnswConfig};
pub use crate::engine::MemoryEstimate;
use crate::error::{Result, VectorizerError};
#[cfg(feature = "gpu")]
use crate::gpu::adapters;
pub use crate::gpu::device::{Backend, Device, DeviceInfo, DeviceKind};
use crate::gpu::tiers::Tier;
use crate::gpu::tuning::TuningInUse;

/// The environment variable [`Context::new`] reads.
pub const DEVICE_VARIABLE: &str = "VECTORIZER_DEVICE";

/// Which device to take.
///
/// ```
/// use vectorizer::gpu::context::{Context, DeviceChoice};
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let wanted: DeviceChoice = "cpu".parse()?;
/// assert_eq!(wanted, DeviceChoice::Cpu);
/// let context = Context::with_choice(&wanted)?.with_limit(Some(64 << 20));
/// assert!(context.device().is_cpu());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// A GPU if there is one, else the CPU engine. Never a software adapter.
    #[default]
    Auto,
    /// A GPU, or an error.
    Gpu,
    /// The CPU engine.
    Cpu,
    /// A software adapter such as lavapipe, or an error.
    Software,
    /// The first adapter whose name contains this, whatever the case of letters, or whose [`DeviceInfo::pci_bus_id`] it is, or with `#`
    /// before it [`DeviceInfo::index`]; or an error.
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = VectorizerError;

    /// `auto`, `gpu`, `cpu`, `software`, a part of an adapter's name, its PCI address, or `#` and its place.
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

impl fmt::Display for DeviceChoice {
    /// The words that [`DeviceChoice::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Software => "software",
            Self::Named(name) => name,
        })
    }
}

impl DeviceChoice {
    /// What `VECTORIZER_DEVICE` asks for; `Auto` where it is not set.
    ///
    /// # Errors
    /// [`VectorizerError::NoDevice`] if it is not Unicode.
    pub fn from_environment() -> Result<Self> {
        match std::env::var(DEVICE_VARIABLE) {
            Ok(text) => text.parse(),
            Err(std::env::VarError::NotPresent) => Ok(Self::Auto),
            Err(std::env::VarError::NotUnicode(text)) => Err(VectorizerError::NoDevice {
                wanted: text.to_string_lossy().into_owned(),
                advice: format!(
                    "{DEVICE_VARIABLE} takes auto, gpu, cpu, software, a part of an adapter's name, its PCI address or # and its place"
                ),
            }),
        }
    }
}

/// A chosen device and why it was chosen. Collections of one process that choose the same device share it.
#[derive(Debug, Clone)]
pub struct Context {
    device: Device,
    reason: String,
}

impl Context {
    /// The device that `VECTORIZER_DEVICE` asks for (`auto`, `gpu`, `cpu`, `software`, a part of an adapter's
    /// name, its PCI address, or `#` and its place). Without it: Metal on macOS; elsewhere a discrete, else an integrated GPU over Vulkan or DX12; else the
    /// CPU engine, and [`Context::reason`] says why. The first call of a process asks the drivers, later ones share what it found.
    ///
    /// # Errors
    /// [`VectorizerError::NoDevice`] if a device was asked for that is not there; never with `auto` or `cpu`.
    pub fn new() -> Result<Self> {
        Self::with_choice(&DeviceChoice::from_environment()?)
    }

    /// The device that is asked for, whatever the environment says.
    ///
    /// # Errors
    /// [`VectorizerError::NoDevice`] if it is not there; [`VectorizerError::DeviceFailed`] if it cannot be opened.
    pub fn with_choice(choice: &DeviceChoice) -> Result<Self> {
        if *choice == DeviceChoice::Cpu {
            return Ok(Self::cpu());
        }
        #[cfg(feature = "gpu")]
        let (device, reason) = adapters::choose(choice)?;
        #[cfg(not(feature = "gpu"))]
        let (device, reason) = match choice {
            DeviceChoice::Auto => (
                Device::cpu(),
                "this build has no GPU engine: the `gpu` feature is off".to_owned(),
            ),
            other => {
                return Err(VectorizerError::NoDevice {
                    wanted: other.to_string(),
                    advice: "this build has no GPU engine: build with the `gpu` feature".to_owned(),
                });
            }
        };
        tracing::debug!(device = device.name(), reason, "device chosen");
        Ok(Self { device, reason })
    }

    /// The CPU engine.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            device: Device::cpu(),
            reason: "the CPU engine was asked for".to_owned(),
        }
    }

    /// Another device in the place of this one, chosen for the same reason.
    pub(crate) fn moved_to(&self, device: Device) -> Self {
        Self {
            device,
            reason: self.reason.clone(),
        }
    }

    /// A device that is there already.
    #[cfg(test)]
    pub(crate) fn of_device(device: Device) -> Self {
        Self {
            device,
            reason: "it was at hand".to_owned(),
        }
    }

    /// The same device with a limit for everything that is taken through this context, transient memory too, and a pool of its own.
    /// `None` sets no limit beyond the device's own, [`DEFAULT_SHARE`](crate::gpu::device::DEFAULT_SHARE) of what it recommends.
    #[must_use]
    pub fn with_limit(&self, limit: Option<u64>) -> Self {
        Self {
            device: self.device.with_limit(limit),
            reason: self.reason.clone(),
        }
    }

    /// Every device of this machine, best first, the CPU engine last. Opens none of them.
    #[must_use]
    pub fn devices() -> Vec<DeviceInfo> {
        #[cfg(feature = "gpu")]
        let mut devices = adapters::list();
        #[cfg(not(feature = "gpu"))]
        let mut devices: Vec<DeviceInfo> = Vec::new();
        let none_taken = !devices.iter().any(|device| device.taken);
        devices.push(DeviceInfo::cpu(none_taken));
        devices
    }

    /// How much of the device's memory `vectors` vectors of `dimension` components and their graph will take, when they are added in one
    /// batch and linked. Within 5 % of what is then taken; adding step by step can take a thirtieth more. Figures that no collection can have
    /// count as the nearest that one can.
    ///
    /// ```
    /// use vectorizer::config::HnswConfig;
    /// use vectorizer::gpu::metal_native::MetalNativeContext;
    ///
    /// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
    /// let estimate = MetalNativeContext::new()?.estimate_memory(1_000_000, 128, &HnswConfig::default());
    /// assert!(estimate.rows >= 512_000_000 && estimate.lasting() < 700_000_000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn estimate_memory(
        &self,
        vectors: usize,
        dimension: usize,
        config: &HnswConfig,
    ) -> MemoryEstimate {
        let options = CollectionOptions {
            hnsw: *config,
            ..CollectionOptions::default()
        };
        self.estimate_memory_with(vectors, dimension, &options)
    }

    /// The same for a collection with these options: beside the vectors there is the form of them that walks compare, if it is another; with
    /// [`FullRows::Ram`](crate::config::FullRows::Ram) there is that form alone, and [`MemoryEstimate::ram`] says what is taken in RAM.
    ///
    /// ```
    /// use vectorizer::config::{CollectionOptions, FullRows, Precision};
    /// use vectorizer::gpu::metal_native::MetalNativeContext;
    ///
    /// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
    /// let context = MetalNativeContext::new()?;
    /// let options = CollectionOptions { precision: Precision::Int8, ..CollectionOptions::default() };
    /// let whole = context.estimate_memory_with(1_000_000, 768, &options);
    /// let small = context.estimate_memory_with(1_000_000, 768, &CollectionOptions { full_rows: FullRows::Ram, ..options });
    /// // On the CPU everything is in RAM either way.
    /// assert!(small == whole || (small.rows < whole.rows / 4 && small.ram > whole.rows / 2));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn estimate_memory_with(
        &self,
        vectors: usize,
        dimension: usize,
        options: &CollectionOptions,
    ) -> MemoryEstimate {
        self.device.estimate_memory(vectors, dimension, options)
    }

    /// A handle on the device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// The device's name.
    #[must_use]
    pub fn device_name(&self) -> &str {
        self.device.name()
    }

    /// How the device is driven.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.device.info().backend
    }

    /// What the device can do.
    #[must_use]
    pub fn tier(&self) -> &Tier {
        self.device.tier()
    }

    /// How the device's work is cut up, and where that is from; `None` for the CPU engine.
    #[must_use]
    pub fn tuning(&self) -> Option<&TuningInUse> {
        self.device.tuning()
    }

    /// Why this device.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_from_words() {
        for (text, choice) in [
            ("", DeviceChoice::Auto),
            ("AUTO", DeviceChoice::Auto),
            (" gpu ", DeviceChoice::Gpu),
            ("cpu", DeviceChoice::Cpu),
            ("Software", DeviceChoice::Software),
            ("H200", DeviceChoice::Named("h200".to_owned())),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice, "{text:?}");
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_shared() {
        let (one, other) = (
            Context::cpu(),
            Context::with_choice(&DeviceChoice::Cpu).unwrap(),
        );
        assert!(one.device().is_same(&other.device()));
        assert_eq!(one.backend(), Backend::Cpu);
        assert_eq!(one.tier().name(), "cpu");
        assert_eq!(Context::devices().last().unwrap().backend, Backend::Cpu);
    }

    #[test]
    fn auto_never_fails_and_never_takes_a_software_adapter() {
        let context = Context::with_choice(&DeviceChoice::Auto).unwrap();
        assert_ne!(context.device().info().kind, DeviceKind::Software);
        assert!(!context.reason().is_empty());
    }

    #[test]
    fn exactly_one_device_is_taken() {
        let devices = Context::devices();
        assert_eq!(
            devices.iter().filter(|device| device.taken).count(),
            1,
            "{devices:?}"
        );
    }

    #[test]
    fn a_name_nobody_has_is_an_error_that_lists_who_is_there() {
        let choice = DeviceChoice::Named("no adapter is called this".to_owned());
        let error = Context::with_choice(&choice).unwrap_err();
        assert!(matches!(error, VectorizerError::NoDevice { .. }), "{error}");
    }

    #[test]
    fn handles_cross_threads() {
        fn crosses<T: Clone + Send + Sync + 'static>() {}
        crosses::<Context>();
        crosses::<Device>();
    }
}
