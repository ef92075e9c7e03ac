//! The device that tests run on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "only tests use it, and without a device they fail"
)]

use crate::gpu::adapters;
use crate::gpu::context::{Context, DeviceChoice};
use crate::gpu::device::Device;

/// What the environment asks for, if that is not the CPU; else Metal on macOS and the software adapter elsewhere.
fn choice() -> DeviceChoice {
    match DeviceChoice::from_environment().unwrap() {
        DeviceChoice::Auto | DeviceChoice::Cpu if cfg!(target_os = "macos") => DeviceChoice::Gpu,
        DeviceChoice::Auto | DeviceChoice::Cpu => DeviceChoice::Software,
        other => other,
    }
}

/// The shared device. A machine without an adapter fails the test: it must not seem to pass.
pub(crate) fn device() -> Device {
    Context::with_choice(&choice())
        .unwrap_or_else(|error| {
            panic!("this test needs an adapter: {error}. scripts/test installs one")
        })
        .device()
}

/// A device of the test's own.
pub(crate) fn fresh_device() -> Device {
    drop(device());
    adapters::fresh(&choice()).unwrap()
}
