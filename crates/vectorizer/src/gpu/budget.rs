//! How much memory there is, by the device's own account.

use serde::Serialize;

/// A device's own figures. They cover every program that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Budget {
    /// What the device recommends this process to use at most, in bytes.
    pub recommended: u64,
    /// What this process uses now, in bytes, where the device says.
    pub used: Option<u64>,
    /// Whether the device works in the host's memory, so that no byte can be in the wrong one.
    pub unified: bool,
}

/// What the driver interface's allocator has taken from the device, and how much of it is lent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Allocator {
    /// In blocks, from the device.
    pub reserved: u64,
    /// In buffers and what the interface needs itself, from the blocks.
    pub allocated: u64,
}

/// The memory of this system and of this process, for the CPU engine: what a container or the machine has, and what of it is resident.
/// `None` where the system does not say (anything but Linux).
pub(crate) fn of_system() -> Option<Budget> {
    let table = |path: &str, name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    };
    let machine = table("/proc/meminfo", "MemTotal:")?;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    Some(Budget {
        recommended: container.map_or(machine, |container| container.min(machine)),
        used: table("/proc/self/status", "VmRSS:"),
        unified: true,
    })
}

#[cfg(all(feature = "gpu", target_os = "macos"))]
mod platform {
    use objc2_metal::MTLDevice;

    use super::Budget;

    /// Metal's recommendedMaxWorkingSetSize and currentAllocatedSize.
    #[expect(
        unsafe_code,
        reason = "the Metal device is only lent out by an unsafe function"
    )]
    pub(super) fn of(adapter: &wgpu::Adapter) -> Option<Budget> {
        // SAFETY: the device is read from and neither kept nor destroyed.
        let metal = unsafe { adapter.as_hal::<wgpu::hal::api::Metal>() }?;
        let device = metal.raw_device();
        Some(Budget {
            recommended: device.recommendedMaxWorkingSetSize(),
            used: Some(device.currentAllocatedSize() as u64),
            unified: device.hasUnifiedMemory(),
        })
    }
}

#[cfg(all(feature = "gpu", not(target_os = "macos")))]
mod platform {
    use ash::vk;

    use super::Budget;

    /// Vulkan's heaps, by `VK_EXT_memory_budget` where the driver has it.
    #[expect(
        unsafe_code,
        reason = "the Vulkan device is only lent out by an unsafe function"
    )]
    pub(super) fn of(adapter: &wgpu::Adapter) -> Option<Budget> {
        #[cfg(windows)]
        if let Some(budget) = of_dx12(adapter) {
            return Some(budget);
        }
        // SAFETY: the device is read from and neither kept nor destroyed.
        let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
        let capabilities = vulkan.physical_device_capabilities();
        let instance = vulkan.shared_instance().raw_instance();
        let physical = vulkan.raw_physical_device();
        let known = capabilities.supports_extension(ash::ext::memory_budget::NAME);
        let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
        if known {
            properties = properties.push_next(&mut budget);
        }
        if capabilities.properties().api_version < vk::API_VERSION_1_1 {
            return None;
        }
        // SAFETY: the physical device belongs to this instance and is at least version 1.1; the structure is chained correctly.
        unsafe { instance.get_physical_device_memory_properties2(physical, &mut properties) };
        let memory = properties.memory_properties;
        let count = memory.memory_heap_count as usize;
        let local = |index: &usize| {
            memory.memory_heaps[*index]
                .flags
                .contains(vk::MemoryHeapFlags::DEVICE_LOCAL)
        };
        let largest = (0..count)
            .filter(local)
            .max_by_key(|index| memory.memory_heaps[*index].size)?;
        Some(Budget {
            recommended: if known {
                budget.heap_budget[largest]
            } else {
                memory.memory_heaps[largest].size
            },
            used: known.then(|| budget.heap_usage[largest]),
            unified: (0..count).all(|index| local(&index)),
        })
    }

    /// What DXGI grants this process of the memory nearest to the GPU.
    #[cfg(windows)]
    #[expect(
        unsafe_code,
        reason = "the DX12 device is only lent out by an unsafe function"
    )]
    fn of_dx12(adapter: &wgpu::Adapter) -> Option<Budget> {
        // SAFETY: the device is read from and neither kept nor destroyed.
        let dx12 = unsafe { adapter.as_hal::<wgpu::hal::api::Dx12>() }?;
        // The default group is the local one.
        let memory = dx12
            .raw_adapter()
            .query_video_memory_info(Default::default())
            .ok()?;
        Some(Budget {
            recommended: memory.Budget,
            used: Some(memory.CurrentUsage),
            unified: adapter.get_info().device_type == wgpu::DeviceType::IntegratedGpu,
        })
    }
}

/// The figures of the device behind `adapter`; `None` where the platform has none.
#[cfg(feature = "gpu")]
pub(crate) fn of(adapter: &wgpu::Adapter) -> Option<Budget> {
    platform::of(adapter)
}

// Only Linux is asked what a process holds.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_it_has_and_what_we_hold() {
        let held = vec![1u8; 64 << 20];
        let budget = of_system().unwrap();
        let used = budget.used.unwrap();
        assert!(used >= held.len() as u64, "{budget:?}");
        assert!(used < budget.recommended, "{budget:?}");
    }
}
