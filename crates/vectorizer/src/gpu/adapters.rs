//! The adapters of this machine: which are there, which is taken, and one open device for each.

use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::error::{Result, VectorizerError};
use crate::gpu::budget;
use crate::gpu::context::DeviceChoice;
use crate::gpu::device::{Backend, Device, DeviceInfo, DeviceKind};
use crate::gpu::hardware::Hardware;
use crate::gpu::tiers::Tier;

/// Set to anything but 0, it turns on the validation layers of the driver's interface.
const VALIDATE_VARIABLE: &str = "VECTORIZER_VALIDATE";

#[cfg(target_os = "macos")]
const HOW_TO_INSTALL: &str = "A Mac's GPU is found through Metal, which macOS brings along";
#[cfg(target_os = "windows")]
const HOW_TO_INSTALL: &str = "Install the GPU vendor's driver";
#[cfg(not(any(target_os = "macos", target_os = "windows")))]
const HOW_TO_INSTALL: &str = "Install libvulkan1 and the GPU's driver: mesa-vulkan-drivers on Debian for AMD and Intel (and for the software adapter lavapipe), the vendor's own for NVIDIA";

/// From this share of what the system grants on, in percent, Windows refuses memory.
const FULL: u8 = 95;

/// An adapter and the device that was opened on it.
struct Slot {
    adapter: wgpu::Adapter,
    info: DeviceInfo,
    open: Mutex<Option<Device>>,
}

/// Asked once for each process: drivers take their time.
static SLOTS: LazyLock<Vec<Slot>> = LazyLock::new(find);

fn find() -> Vec<Slot> {
    let validate = std::env::var_os(VALIDATE_VARIABLE).is_some_and(|value| value != "0");
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::METAL | wgpu::Backends::VULKAN | wgpu::Backends::DX12,
        flags: if validate {
            // Without DEBUG, whose notes in shaders older layers take for mistakes.
            wgpu::InstanceFlags::VALIDATION
        } else {
            wgpu::InstanceFlags::empty()
        },
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            // Windows pages what is beyond the budget out to the host's memory and says nothing; elsewhere drivers refuse.
            for_resource_creation: cfg!(target_os = "windows").then_some(FULL),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let mut slots: Vec<Slot> = adapters
        .into_iter()
        .filter_map(|adapter| {
            let info = describe(&adapter)?;
            Some(Slot {
                adapter,
                info,
                open: Mutex::default(),
            })
        })
        .collect();
    // A stable sort: of equals, the one the driver names first.
    slots.sort_by_key(|slot| rank(slot.info.kind));
    number(slots.iter_mut().map(|slot| &mut slot.info));
    slots
}

/// Says of adapters in their order which one each is, and which one `auto` takes.
fn number<'a>(infos: impl Iterator<Item = &'a mut DeviceInfo>) {
    let mut infos: Vec<_> = infos.collect();
    // DX12's is looked up by vendor and device: equal adapters have that of the first.
    let known: Vec<_> = infos
        .iter()
        .map(|info| (info.backend, info.pci_bus_id.clone()))
        .collect();
    for (index, info) in infos.iter_mut().enumerate() {
        info.index = Some(index);
        if known.iter().filter(|other| **other == known[index]).count() > 1 {
            info.pci_bus_id = None;
        }
    }
    if let Some(best) = infos.into_iter().find(|info| eligible(info)) {
        best.taken = true;
    }
}

fn describe(adapter: &wgpu::Adapter) -> Option<DeviceInfo> {
    let info = adapter.get_info();
    let backend = match info.backend {
        wgpu::Backend::Metal => Backend::Metal,
        wgpu::Backend::Vulkan => Backend::Vulkan,
        wgpu::Backend::Dx12 => Backend::Dx12,
        _ => return None,
    };
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
        wgpu::DeviceType::Other => DeviceKind::Unknown,
    };
    Some(DeviceInfo {
        index: None,
        pci_bus_id: Some(info.device_pci_bus_id).filter(|id| !id.is_empty()),
        name: info.name,
        backend,
        kind,
        vendor_id: info.vendor,
        device_id: info.device,
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        tier: Tier::of(adapter),
        memory: budget::of(adapter),
        taken: false,
    })
}

const fn rank(kind: DeviceKind) -> u8 {
    match kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Virtual => 2,
        DeviceKind::Unknown => 3,
        DeviceKind::Software => 4,
        DeviceKind::Cpu => 5,
    }
}

fn is_gpu(kind: DeviceKind) -> bool {
    matches!(
        kind,
        DeviceKind::Discrete | DeviceKind::Integrated | DeviceKind::Virtual
    )
}

/// Whether `auto` may take it.
fn eligible(info: &DeviceInfo) -> bool {
    is_gpu(info.kind) && info.tier.shortcoming().is_none()
}

impl Slot {
    /// The device on this adapter, opened if it is not open yet or was lost.
    fn device(&self) -> Result<Device> {
        let mut open = self.open.lock();
        if let Some(device) = &*open
            && device
                .hardware()
                .is_some_and(|hardware| !hardware.is_lost())
        {
            return Ok(device.clone());
        }
        let device = self.fresh_device(open.as_ref())?;
        *open = Some(device.clone());
        Ok(device)
    }

    fn fresh_device(&self, lost: Option<&Device>) -> Result<Device> {
        if let Some(shortcoming) = self.info.tier.shortcoming() {
            return Err(VectorizerError::DeviceFailed {
                device: self.info.name.clone(),
                reason: format!("it cannot run the kernels: {shortcoming}"),
            });
        }
        Ok(Device::opened(
            self.info.clone(),
            Hardware::open(&self.adapter)?,
            lost,
        ))
    }
}

/// Every adapter, best first.
pub(crate) fn list() -> Vec<DeviceInfo> {
    SLOTS.iter().map(|slot| slot.info.clone()).collect()
}

/// The device for `choice`, and why.
pub(crate) fn choose(choice: &DeviceChoice) -> Result<(Device, String)> {
    match choice {
        DeviceChoice::Cpu => Ok((Device::cpu(), "the CPU engine was asked for".to_owned())),
        DeviceChoice::Auto => Ok(first_that_opens().unwrap_or_else(|obstacles| {
            (
                Device::cpu(),
                format!("{}; so the CPU engine", why_none(&obstacles)),
            )
        })),
        DeviceChoice::Gpu => first_that_opens().map_err(|obstacles| VectorizerError::NoDevice {
            wanted: "a GPU".to_owned(),
            advice: format!("{}. {HOW_TO_INSTALL}", why_none(&obstacles)),
        }),
        DeviceChoice::Software => named(
            "a software adapter",
            "a software adapter was asked for",
            |info| info.kind == DeviceKind::Software,
        ),
        DeviceChoice::Named(part) => named(
            &format!("an adapter with {part:?} in its name or as its PCI address"),
            &format!("its name or PCI address is {part:?}, or contains it"),
            |info| is_called(info, part),
        ),
    }
}

/// The best GPU that can be opened; else what stood in the way.
fn first_that_opens() -> Result<(Device, String), Vec<String>> {
    let mut obstacles = Vec::new();
    for slot in SLOTS.iter().filter(|slot| is_gpu(slot.info.kind)) {
        match slot.device() {
            Ok(device) => {
                let reason = format!("the best GPU here ({})", slot.info.kind);
                return Ok((device, reason));
            }
            Err(error) => obstacles.push(error.to_string()),
        }
    }
    Err(obstacles)
}

fn why_none(obstacles: &[String]) -> String {
    if !obstacles.is_empty() {
        return obstacles.join("; ");
    }
    let others: Vec<String> = SLOTS
        .iter()
        .map(|slot| format!("{} ({})", slot.info.name, slot.info.kind))
        .collect();
    if others.is_empty() {
        "no GPU driver was found".to_owned()
    } else {
        format!(
            "no GPU was found, only {}, which is taken when asked for",
            others.join(", ")
        )
    }
}

/// Whether an adapter is meant by a part of its name, by its PCI address (with its domain or without it), or by `#` and its place.
fn is_called(info: &DeviceInfo, text: &str) -> bool {
    let text = text.to_lowercase();
    let by_place = text.strip_prefix('#').and_then(|place| place.parse().ok());
    if by_place.is_some() {
        return info.index == by_place;
    }
    let at = info.pci_bus_id.as_deref().unwrap_or("").to_lowercase();
    let without_domain = at.split_once(':').map_or("", |(_, rest)| rest);
    text == at || text == without_domain || info.name.to_lowercase().contains(&text)
}

fn named(
    wanted: &str,
    reason: &str,
    fits: impl Fn(&DeviceInfo) -> bool,
) -> Result<(Device, String)> {
    let Some(slot) = SLOTS.iter().find(|slot| fits(&slot.info)) else {
        let there: Vec<String> = SLOTS.iter().map(|slot| called(&slot.info)).collect();
        let advice = if there.is_empty() {
            format!("No adapter was found. {HOW_TO_INSTALL}")
        } else {
            format!("There is {}. {HOW_TO_INSTALL}", there.join(", "))
        };
        return Err(VectorizerError::NoDevice {
            wanted: wanted.to_owned(),
            advice,
        });
    };
    Ok((slot.device()?, reason.to_owned()))
}

/// An adapter's name, with what tells it from its equals.
fn called(info: &DeviceInfo) -> String {
    match &info.pci_bus_id {
        Some(at) => format!("{} at {at}", info.name),
        None => info.name.clone(),
    }
}

/// Whether two descriptions are of one adapter: names are those of equal adapters too.
fn is_same(one: &DeviceInfo, other: &DeviceInfo) -> bool {
    (one.index, &one.pci_bus_id, &one.name, one.backend)
        == (other.index, &other.pci_bus_id, &other.name, other.backend)
}

/// The device that takes the place of one that was lost: on the same adapter.
pub(crate) fn again(lost: &Device) -> Result<Device> {
    let info = lost.info();
    let gone = || VectorizerError::DeviceLost {
        device: info.name.clone(),
    };
    let slot = SLOTS.iter().find(|slot| is_same(&slot.info, info));
    slot.ok_or_else(gone)?.device()
}

/// A device nobody shares, so that a test can count on its books and break it.
#[cfg(test)]
pub(crate) fn fresh(choice: &DeviceChoice) -> Result<Device> {
    let shared = choose(choice)?.0;
    SLOTS
        .iter()
        .find(|slot| {
            slot.open
                .lock()
                .as_ref()
                .is_some_and(|open| open.is_same(&shared))
        })
        .ok_or(VectorizerError::BufferAllocationFailed)?
        .fresh_device(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::context::Context;
    use crate::gpu::testing;

    #[test]
    fn one_device_for_all_who_choose_the_same() {
        let one = testing::device();
        let other = testing::device();
        assert!(one.is_same(&other));
        assert!(!one.is_same(&testing::fresh_device()));
    }

    #[test]
    fn a_part_of_the_name_is_enough_whatever_its_case() {
        let name = testing::device().name().to_owned();
        let part: String = name.chars().take(5).collect::<String>().to_uppercase();
        let context = Context::with_choice(&DeviceChoice::Named(part)).unwrap();
        assert!(context.device().is_same(&testing::device()));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_helps() {
        if list().iter().any(|info| is_gpu(info.kind)) {
            assert!(choose(&DeviceChoice::Gpu).is_ok());
            return;
        }
        let error = choose(&DeviceChoice::Gpu).unwrap_err().to_string();
        assert!(error.contains(HOW_TO_INSTALL), "{error}");
    }

    /// As a driver describes them: a CPU's GPU, and two equal ones beside it.
    fn made_up(addresses: [&str; 3]) -> Vec<DeviceInfo> {
        let of = |name: &str, kind, at: &str| DeviceInfo {
            name: name.to_owned(),
            backend: Backend::Vulkan,
            kind,
            pci_bus_id: Some(at.to_owned()).filter(|at| !at.is_empty()),
            tier: testing::device().tier().clone(),
            ..DeviceInfo::cpu(false)
        };
        let [one, two, three] = addresses;
        let mut infos = vec![
            of("Big GPU", DeviceKind::Discrete, one),
            of("Big GPU", DeviceKind::Discrete, two),
            of("Small GPU", DeviceKind::Integrated, three),
        ];
        number(infos.iter_mut());
        infos
    }

    fn chosen(infos: &[DeviceInfo], text: &str) -> Option<usize> {
        let choice: DeviceChoice = text.parse().unwrap();
        let DeviceChoice::Named(part) = choice else {
            panic!("{text} is no name");
        };
        infos.iter().position(|info| is_called(info, &part))
    }

    #[test]
    fn equal_adapters_are_told_apart_by_where_they_are() {
        let infos = made_up(["0000:01:00.0", "0000:C1:00.0", "0000:00:02.0"]);
        for (text, place) in [
            ("big", Some(0)),
            ("0000:01:00.0", Some(0)),
            ("0000:c1:00.0", Some(1)),
            ("C1:00.0", Some(1)),
            ("#1", Some(1)),
            ("#2", Some(2)),
            ("#3", None),
            ("00:02.0", Some(2)),
            ("02:00.0", None),
            ("small", Some(2)),
        ] {
            assert_eq!(chosen(&infos, text), place, "{text}");
        }
        assert!(called(&infos[1]).contains("C1:00.0"));
        let taken: Vec<bool> = infos.iter().map(|info| info.taken).collect();
        assert_eq!(taken, [true, false, false]);
    }

    #[test]
    fn a_lost_adapter_is_reopened_as_itself() {
        for infos in [
            made_up(["0000:01:00.0", "0000:c1:00.0", ""]),
            made_up(["", "", ""]),
            // DX12 says the first one's of both.
            made_up(["0000:01:00.0", "0000:01:00.0", ""]),
        ] {
            for (place, lost) in infos.iter().enumerate() {
                let again = infos.iter().position(|info| is_same(info, lost));
                assert_eq!(again, Some(place));
            }
        }
        let infos = made_up(["0000:01:00.0", "0000:01:00.0", ""]);
        assert_eq!(chosen(&infos, "0000:01:00.0"), None, "of which one is it?");
        assert_eq!(chosen(&infos, "#1"), Some(1));
    }

    #[test]
    fn the_tier_is_what_the_device_says() {
        let device = testing::device();
        let tier = device.tier();
        assert_eq!(tier.shortcoming(), None);
        assert!(tier.binding_bytes >= 128 << 20, "{tier:?}");
        let missing = Tier {
            workgroup_threads: 64,
            ..tier.clone()
        };
        assert!(
            missing
                .shortcoming()
                .is_some_and(|text| text.contains("256"))
        );
    }
}
