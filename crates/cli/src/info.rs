//! `vectorizer info`: the devices, and which one would be taken.

use serde::Serialize;
use vectorizer::gpu::context::Context;
use vectorizer::gpu::device::{Backend, DeviceInfo, UNKNOWN_LIMIT};
use vectorizer::gpu::tiers::Tier;
use vectorizer::gpu::tuning::TuningInUse;
use vectorizer_bench::thousands;

use crate::args::InfoArguments;
use crate::device;
use crate::failure::Result;
use crate::figures::bytes;
use crate::index::say;

#[derive(Serialize)]
struct Info<'a> {
    version: &'static str,
    /// Whether this build has the GPU engine at all.
    gpu_engine: bool,
    taken: Option<Taken<'a>>,
    /// Why none is taken.
    error: Option<String>,
    devices: &'a [DeviceInfo],
}

#[derive(Serialize)]
struct Taken<'a> {
    device: &'a str,
    backend: Backend,
    tier: &'static str,
    reason: &'a str,
    threads: usize,
    /// How its work is cut up; null for the CPU engine.
    tuning: Option<&'a TuningInUse>,
}

pub(crate) fn run(arguments: &InfoArguments) -> Result<()> {
    let devices = Context::devices();
    let opened = device::open(&arguments.device);
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        gpu_engine: cfg!(feature = "gpu"),
        taken: opened.as_ref().ok().map(|context| Taken {
            device: context.device_name(),
            backend: context.backend(),
            tier: context.tier().name(),
            reason: context.reason(),
            threads: rayon::current_num_threads(),
            tuning: context.tuning(),
        }),
        error: opened.as_ref().err().map(ToString::to_string),
        devices: &devices,
    };
    let text = if arguments.json {
        serde_json::to_string(&info).map_err(std::io::Error::from)?
    } else {
        describe(&info)
    };
    say(&text)?;
    opened.map(drop)
}

fn describe(info: &Info<'_>) -> String {
    let mut lines = vec![format!("vectorizer {}", info.version)];
    let mut line =
        |name: &str, what: &str| lines.push(format!("  {name:<12} {what}").trim_end().to_owned());
    if let Some(taken) = &info.taken {
        line("takes", &format!("{} ({})", taken.device, taken.backend));
        line("because", taken.reason);
        if let Some(tuning) = taken.tuning {
            line("tuning", &tuning.source.to_string());
        }
    }
    if !info.gpu_engine {
        line("this build", "has no GPU engine (its feature `gpu` is off)");
    }
    for device in info.devices {
        let mark = if device.taken { ", taken by auto" } else { "" };
        line("", "");
        line("device", &format!("{}{mark}", device.name));
        line("", &format!("{}, {}", device.kind, device.backend));
        if let Some(index) = device.index {
            let at = device.pci_bus_id.as_ref();
            let at = at.map_or_else(String::new, |at| format!(", PCI {at}"));
            line("place", &format!("#{index}{at}"));
        }
        if !device.driver.is_empty() {
            line("driver", &device.driver);
        }
        if device.backend == Backend::Cpu {
            line(
                "threads",
                &std::thread::available_parallelism()
                    .map_or_else(|_| "1".into(), |n| n.to_string()),
            );
            continue;
        }
        line("tier", &device.tier.to_string());
        for (name, what) in limits(&device.tier) {
            line(name, &what);
        }
        match device.memory {
            Some(memory) => {
                let shared = if memory.unified {
                    ", shared with the host"
                } else {
                    ""
                };
                line(
                    "memory",
                    &format!("{} recommended at most{shared}", bytes(memory.recommended)),
                );
            }
            None => line(
                "memory",
                &format!(
                    "the device does not say: {} at most are taken",
                    bytes(UNKNOWN_LIMIT)
                ),
            ),
        }
    }
    lines.join("\n")
}

fn limits(tier: &Tier) -> [(&'static str, String); 3] {
    [
        (
            "buffers",
            format!(
                "{} each, {} in one binding, {} bindings",
                bytes(tier.buffer_bytes),
                bytes(tier.binding_bytes),
                tier.storage_buffers
            ),
        ),
        (
            "workgroups",
            format!(
                "{} threads, {} shared, {} a dispatch",
                tier.workgroup_threads,
                bytes(u64::from(tier.workgroup_bytes)),
                thousands(tier.workgroups as usize)
            ),
        ),
        (
            "clock",
            if tier.timestamps {
                "the device can time its own work".to_owned()
            } else {
                "none of its own".to_owned()
            },
        ),
    ]
}
