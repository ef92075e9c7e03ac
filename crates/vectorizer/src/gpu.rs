//! Devices: which one is taken and why, what it can do, and every byte of its memory.
//!
//! [`context`] chooses a device; [`device`] is the handle everybody shares; [`tiers`] says what it can do.
//! [`memory`] is the one door through which device memory is taken: it asks the limit first, labels every byte
//! and counts it, which is why a [`vram_monitor`] made later sees everything. [`metal_buffer_pool`] keeps what is
//! transient for reuse, [`budget`] asks the device for its own figures, `faults` makes it fail where a test says, [`tuning`] says how its work is cut up.
//! [`metal_native`] holds the document's names.
//! Without the `gpu` feature the only device is the CPU, under the same names.

pub mod budget;
pub mod context;
pub mod device;
#[cfg(any(test, feature = "fault-injection"))]
pub mod faults;
#[cfg(not(any(test, feature = "fault-injection")))]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "public, and of use, with the feature alone"
)]
mod faults;
pub mod memory;
pub mod metal_buffer_pool;
pub mod metal_native;
pub mod tiers;
pub mod tuning;
pub mod vram_monitor;

#[cfg(feature = "gpu")]
pub(crate) mod adapters;
#[cfg(feature = "gpu")]
pub(crate) mod buffer;
#[cfg(feature = "gpu")]
pub(crate) mod hardware;
#[cfg(feature = "gpu")]
mod lanes;
#[cfg(feature = "gpu")]
pub(crate) mod programs;
#[cfg(all(test, feature = "gpu"))]
pub(crate) mod testing;
