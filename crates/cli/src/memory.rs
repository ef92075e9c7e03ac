//! How much memory the command may take, and what happens when that is not enough.

use clap::{Args, ValueEnum};
use serde::Serialize;
use vectorizer::collection::{Collection, Fallback, FallbackKind};
use vectorizer::config::FallbackPolicy;
use vectorizer::gpu::context::{Context, Device};
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::hnsw::HnswGraph;

use crate::args::DeviceArguments;
use crate::device;
use crate::failure::{Failure, Result};

/// The device of a collection and its memory: flattened into every command that opens one.
#[derive(Debug, Clone, Args)]
pub(crate) struct CollectionArguments {
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// The most memory to take on the device, such as 64MiB or 2GB, for everything; RAM with --device cpu. [default: nine tenths of what
    /// the device recommends]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) vram_limit: Option<u64>,
    /// What to do when that is not enough.
    #[arg(long, value_enum, default_value = "report")]
    pub(crate) fallback: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Stop, and say what to do.
    Report,
    /// Go on in RAM, on the CPU engine, with the same graph.
    Spill,
    /// Stop with the limit and the need.
    Forbid,
    /// Keep everything in RAM as well from the beginning.
    Mirror,
}

impl From<Policy> for FallbackPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Report => Self::Report,
            Policy::Spill => Self::Spill,
            Policy::Forbid => Self::Forbid,
            Policy::Mirror => Self::Mirror,
        }
    }
}

impl CollectionArguments {
    /// The device that is asked for, with the limit.
    pub(crate) fn open(&self) -> Result<Context> {
        let context = device::open(&self.device)?;
        Ok(match self.vram_limit {
            Some(limit) => context.with_limit(Some(limit)),
            None => context,
        })
    }

    /// What happens when memory is not enough.
    pub(crate) fn policy(&self) -> FallbackPolicy {
        self.fallback.into()
    }
}

/// What to do when a graph's device has no room, and what was done.
pub(crate) struct Home {
    policy: FallbackPolicy,
    threads: usize,
    pub(crate) fallback: Option<Fallback>,
}

impl Home {
    pub(crate) fn new(policy: FallbackPolicy, threads: usize) -> Self {
        Self {
            policy,
            threads,
            fallback: None,
        }
    }

    /// Work on a graph. Where its device has no room and the policy allows it, the graph moves to RAM and the work goes on there; a
    /// mirror would come too late for a graph that is only searched once, so that it is the same as to spill.
    pub(crate) fn keep<T>(
        &mut self,
        graph: &mut HnswGraph,
        mut work: impl FnMut(&mut HnswGraph) -> Result<T>,
    ) -> Result<T> {
        let error = match work(graph) {
            Err(Failure::Full(error)) => error,
            answer => return answer,
        };
        let device = graph.storage().device();
        match self.policy {
            FallbackPolicy::Spill | FallbackPolicy::Mirror if !device.is_cpu() => {}
            // The caller decides, by what is said about it.
            FallbackPolicy::Report => {
                return Err(Failure::Machine(format!(
                    "{error}. Raise --vram-limit, or let it go on in RAM with --fallback spill"
                )));
            }
            _ => return Err(Failure::Full(error)),
        }
        self.fallback = Some(Fallback {
            what: FallbackKind::Spilled,
            why: error.to_string(),
            device: device.name().to_owned(),
            vectors: graph.len(),
        });
        graph.move_to(&Context::cpu(), self.threads)?;
        work(graph)
    }
}

/// What the JSON of a command says about memory.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) vram_bytes: u64,
    pub(crate) vram_peak_bytes: u64,
    pub(crate) vram_efficiency: f64,
    pub(crate) pool_reuse: f64,
    pub(crate) fragmentation: f64,
    /// What happened, and why; null if nothing did.
    pub(crate) fallback: Option<Fallback>,
    /// Threads of the CPU engine, of a collection; 0 is all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,
}

impl Memory {
    /// The figures of everything that was taken through this device.
    pub(crate) fn of(device: &Device, fallback: Option<Fallback>) -> Self {
        let total = device.ledger().total();
        let pool = MetalBufferPool::new(device.clone()).get_memory_stats();
        Self {
            vram_bytes: total.taken,
            vram_peak_bytes: total.peak,
            vram_efficiency: device.ledger().efficiency(),
            pool_reuse: pool.pool_utilization,
            fragmentation: pool.fragmentation,
            fallback,
            threads: None,
        }
    }

    /// Those of a collection.
    pub(crate) fn of_collection(collection: &Collection) -> Self {
        Self {
            threads: Some(collection.options().threads),
            ..Self::of(&collection.context().device(), collection.fallback())
        }
    }
}

/// What a command on a collection did, and what it took, as one JSON document.
#[derive(Debug, Serialize)]
pub(crate) struct WithMemory {
    #[serde(flatten)]
    pub(crate) done: serde_json::Value,
    #[serde(flatten)]
    pub(crate) memory: Memory,
}

/// A number of bytes, with or without a unit: KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB, TB of 1000.
fn size(text: &str) -> std::result::Result<u64, String> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1u64,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => {
            return Err(format!(
                "{unit:?} is no unit: use KiB, MiB, GiB, TiB, kB, MB, GB or TB"
            ));
        }
    };
    let none = || format!("{number:?} is no number of bytes: expected one such as 64MiB");
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale).ok_or_else(none)?,
        Err(_) => part(number.parse().map_err(|_| none())?, scale),
    };
    if bytes == 0 {
        return Err("0 bytes hold nothing: expected a size such as 64MiB".to_owned());
    }
    Ok(bytes)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size with a fraction is rounded down to bytes; it has no sign"
)]
fn part(number: f64, scale: u64) -> u64 {
    (number * scale as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("2GB", 2_000_000_000),
            ("1.5k", 1_536),
            ("4096", 4_096),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "0",
            "-1",
            "3 parsecs",
            "1..5k",
            "99999999999TiB",
            "0.1B",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }
}
