//! A buffer on a device, and the one place where buffers are made.

use crate::error::{Result, VectorizerError};
use crate::gpu::device::Device;
use crate::gpu::memory::{Label, Lease, Ledger};

/// Device memory, counted in the device's books as long as it lives.
#[derive(Debug)]
pub(crate) struct DeviceBuffer {
    // The buffer goes before its lease.
    raw: wgpu::Buffer,
    lease: Lease,
}

impl DeviceBuffer {
    /// The buffer itself.
    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.lease.bytes()
    }

    /// States how many of them hold data.
    pub(crate) fn set_used(&self, used: u64) {
        self.lease.set_used(used);
    }
}

impl Device {
    /// Allocates a buffer of `bytes`, rounded up to a multiple of 4. Where there is no room, what the pool keeps is given up first.
    ///
    /// # Errors
    /// [`VectorizerError::VramLimitExceeded`] over the limit or over what the device can hold in one buffer,
    /// [`VectorizerError::BufferAllocationFailed`] if the device refuses.
    pub(crate) fn allocate(
        &self,
        label: Label,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<DeviceBuffer> {
        self.allocate_from(self.ledger(), label, name, bytes, usage)
    }

    /// The same from books that are not this handle's: the pool's.
    pub(crate) fn allocate_from(
        &self,
        ledger: &Ledger,
        label: Label,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<DeviceBuffer> {
        match self.allocate_once(ledger, label, name, bytes, usage) {
            Err(
                VectorizerError::VramLimitExceeded { .. } | VectorizerError::BufferAllocationFailed,
            ) if self.shelf().clear() > 0 => self.allocate_once(ledger, label, name, bytes, usage),
            answer => answer,
        }
    }

    fn allocate_once(
        &self,
        ledger: &Ledger,
        label: Label,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<DeviceBuffer> {
        let Some(hardware) = self.hardware() else {
            return Err(VectorizerError::BufferAllocationFailed);
        };
        // A binding of nothing is not possible.
        let bytes = bytes.max(4).next_multiple_of(4);
        let tier = self.tier();
        let most = if usage.contains(wgpu::BufferUsages::STORAGE) {
            tier.binding_bytes.min(tier.buffer_bytes)
        } else {
            tier.buffer_bytes
        };
        if bytes > most {
            return Err(VectorizerError::VramLimitExceeded {
                limit: most,
                requested: bytes,
            });
        }
        let lease = match ledger.take(label, bytes) {
            // The ledger knows no device to lose.
            Err(VectorizerError::DeviceLost { .. }) => return Err(hardware.lose("as ordered")),
            answer => answer?,
        };
        let raw = hardware.guarded(|device| {
            Ok(device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(name),
                size: bytes,
                usage,
                mapped_at_creation: false,
            }))
        })?;
        Ok(DeviceBuffer { raw, lease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;

    const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE;

    #[test]
    fn a_buffer_is_counted_while_it_lives() {
        let device = testing::fresh_device();
        let buffer = device
            .allocate(Label::Kernels, "test", 1_001, USAGE)
            .unwrap();
        assert_eq!(buffer.bytes(), 1_004);
        assert_eq!(device.ledger().account(Label::Kernels).taken, 1_004);
        drop(buffer);
        assert_eq!(device.ledger().total().taken, 0);
    }

    #[test]
    fn over_the_binding_limit_is_our_error() {
        let device = testing::fresh_device();
        let limit = device.tier().binding_bytes;
        let error = device
            .allocate(Label::Rows, "test", limit + 4, USAGE)
            .unwrap_err();
        assert!(
            matches!(error, VectorizerError::VramLimitExceeded { .. }),
            "{error}"
        );
        assert_eq!(device.ledger().total().taken, 0);
    }

    #[test]
    fn what_wgpu_refuses_is_an_error_and_leaves_nothing_behind() {
        let device = testing::fresh_device();
        // wgpu allows MAP_READ beside COPY_DST only.
        let usage = USAGE | wgpu::BufferUsages::MAP_READ;
        let error = device.allocate(Label::Rows, "test", 64, usage).unwrap_err();
        assert!(
            matches!(error, VectorizerError::DeviceFailed { .. }),
            "{error}"
        );
        assert_eq!(device.ledger().total().taken, 0);
        device.allocate(Label::Rows, "test", 64, USAGE).unwrap();
    }
}
