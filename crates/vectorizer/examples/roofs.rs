//! What a GPU could do at most: bytes copied a second, f32 multiply-adds a second, and the time of an empty round trip, by wgpu, as the
//! library uses it. `scripts/bench-gpu` holds searches against it. One JSON line.
//!
//! ```text
//! cargo run --release -p vectorizer --example roofs [-- MEBIBYTES]
//! ```
//!
//! MEBIBYTES (1024) is the size of what is copied. The adapter is chosen by `VECTORIZER_DEVICE`: `software`, a part of its name, else the first GPU. What
//! matrix units reach is not measured: WGSL does not reach them everywhere.
#![expect(clippy::print_stdout, reason = "a measurement prints")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures with a few digits"
)]

use std::error::Error;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 15;
/// Copies in one submission, so that submitting does not count.
const COPIES: usize = 8;
/// Steps of a thread, each of 8 multiply-adds on vectors of 4.
const STEPS: u32 = 512;
const PER_STEP: u32 = 8 * 4;

/// Eight chains in each thread, so that none waits for the one before it.
const KERNEL: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = data[id.x];
    let b = a * 0.5;
    var s0 = a; var s1 = a + 1.0; var s2 = a + 2.0; var s3 = a + 3.0;
    var s4 = a + 4.0; var s5 = a + 5.0; var s6 = a + 6.0; var s7 = a + 7.0;
    for (var step = 0u; step < STEPS; step++) {
        s0 = fma(s0, a, b); s1 = fma(s1, a, b); s2 = fma(s2, a, b); s3 = fma(s3, a, b);
        s4 = fma(s4, a, b); s5 = fma(s5, a, b); s6 = fma(s6, a, b); s7 = fma(s7, a, b);
    }
    data[id.x] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}
";

struct Gpu {
    name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Gpu {
    fn open() -> Result<Self> {
        let wanted = std::env::var("VECTORIZER_DEVICE").unwrap_or_default();
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let taken = adapters.into_iter().find(|adapter| {
            let info = adapter.get_info();
            let software = info.device_type == wgpu::DeviceType::Cpu;
            match wanted.as_str() {
                "software" => software,
                "" | "auto" | "gpu" => !software,
                part => info.name.to_lowercase().contains(&part.to_lowercase()),
            }
        });
        let adapter =
            taken.ok_or_else(|| format!("no adapter for VECTORIZER_DEVICE={wanted:?}"))?;
        let (device, queue) =
            pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
                required_limits: adapter.limits(),
                ..wgpu::DeviceDescriptor::default()
            }))?;
        Ok(Self {
            name: adapter.get_info().name,
            device,
            queue,
        })
    }

    fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Seconds from before the commands are submitted until they are done, the median of some rounds.
    fn seconds(&self, mut record: impl FnMut(&mut wgpu::CommandEncoder)) -> Result<f64> {
        let mut times = Vec::new();
        for round in 0..=ROUNDS {
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            record(&mut encoder);
            let commands = encoder.finish();
            let start = Instant::now();
            self.queue.submit([commands]);
            self.device.poll(wgpu::PollType::wait_indefinitely())?;
            // The first one warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// Bytes read and written a second.
    fn copy(&self, bytes: u64) -> Result<f64> {
        let bytes = bytes.min(self.device.limits().max_buffer_size) / 4 * 4;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (from, to) = (self.buffer(bytes, usage), self.buffer(bytes, usage));
        let seconds = self.seconds(|encoder| {
            for _ in 0..COPIES {
                encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes);
            }
        })?;
        Ok((2 * COPIES as u64 * bytes) as f64 / seconds)
    }

    /// f32 operations a second, a multiply-add being two; and seconds of a dispatch of one workgroup with its readback.
    fn compute(&self, groups: u32) -> Result<(f64, f64)> {
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(
                    KERNEL.replace("STEPS", &format!("{STEPS}u")).into(),
                ),
            });
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: None,
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
        let threads = 64 * u64::from(groups);
        let data = self.buffer(
            16 * threads,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        );
        let back = self.buffer(
            256,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        );
        let bind = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: data.as_entire_binding(),
            }],
        });
        let dispatch = |encoder: &mut wgpu::CommandEncoder, groups| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind, &[]);
            pass.dispatch_workgroups(groups, 1, 1);
        };
        let seconds = self.seconds(|encoder| dispatch(encoder, groups))?;
        let operations = threads * u64::from(STEPS) * u64::from(2 * PER_STEP);

        let mut trips = Vec::new();
        for round in 0..200 {
            let start = Instant::now();
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            dispatch(&mut encoder, 1);
            encoder.copy_buffer_to_buffer(&data, 0, &back, 0, 256);
            self.queue.submit([encoder.finish()]);
            back.map_async(wgpu::MapMode::Read, .., |_| {});
            self.device.poll(wgpu::PollType::wait_indefinitely())?;
            back.unmap();
            if round >= 20 {
                trips.push(start.elapsed().as_secs_f64());
            }
        }
        trips.sort_by(f64::total_cmp);
        Ok((operations as f64 / seconds, trips[trips.len() / 2]))
    }
}

/// Measures the adapter and prints a line.
pub fn main() -> Result<()> {
    let mebibytes: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(1024), |word| word.parse())?;
    let gpu = Gpu::open()?;
    let copy = gpu.copy(mebibytes << 20)?;
    // About a tenth of a second of work, found by a short one.
    let (rate, _) = gpu.compute(64)?;
    let group = 64.0 * f64::from(STEPS) * f64::from(2 * PER_STEP);
    let groups = (rate * 0.02 / group).clamp(64.0, 60_000.0) as u32;
    let (rate, trip) = gpu.compute(groups)?;
    println!(
        "{{\"device\": {:?}, \"copy_bytes_per_s\": {copy:.0}, \"f32_flops\": {rate:.0}, \"round_trip_s\": {trip:.9}}}",
        gpu.name
    );
    Ok(())
}
