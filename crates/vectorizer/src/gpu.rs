//! Devices: which one is taken and why, what it can do, and every byte of its memory.
//!
//! [`context`] chooses a device and owns it; [`memory`] is the one door through which device memory is taken:
//! it asks the limit first, labels every byte and counts it, which is why a monitor made later sees everything.
//! The rest stands on these two. Without the `gpu` feature the only device is the CPU, under the same names.

pub mod context;
pub mod memory;
