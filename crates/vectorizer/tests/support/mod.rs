//! What the integration tests share: devices, data with a seed, and the naive oracle.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::str::FromStr;

use vectorizer::gpu::context::{Context, DeviceChoice};
use vectorizer::models::{DistanceMetric, Vector};

/// All there are.
pub const METRICS: [DistanceMetric; 3] = [
    DistanceMetric::Euclidean,
    DistanceMetric::DotProduct,
    DistanceMetric::Cosine,
];

/// The CPU engine and, where the crate was built with it, the GPU engine on the device the environment names: by default
/// Metal on macOS and the software adapter elsewhere. A missing one fails the test: it must not seem to pass.
pub fn contexts() -> Vec<Context> {
    let mut contexts = vec![Context::cpu()];
    if cfg!(feature = "gpu") {
        let fallback = if cfg!(target_os = "macos") {
            "gpu"
        } else {
            "software"
        };
        let wanted = std::env::var("VECTORIZER_DEVICE").unwrap_or_default();
        let wanted = if matches!(wanted.as_str(), "" | "auto" | "cpu") {
            fallback
        } else {
            &wanted
        };
        let choice = DeviceChoice::from_str(wanted).unwrap();
        contexts.push(Context::with_choice(&choice).unwrap_or_else(|error| {
            panic!("this test needs an adapter: {error}. scripts/test installs one")
        }));
    }
    contexts
}

/// Whole numbers of small size, so that every order of adding gives the same sums on every device.
pub fn integer_rows(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count * dimension)
        .map(|_| f32::from(random.i8(-8..=8)))
        .collect()
}

/// Rows of ones and minus ones. At 4, 16, 64 or 256 components their length is a power of two, so that unit rows are exact too.
pub fn sign_rows(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count * dimension)
        .map(|_| if random.bool() { 1.0 } else { -1.0 })
        .collect()
}

/// Numbers spread evenly over -1 to 1.
pub fn random_rows(seed: u64, count: usize, dimension: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count * dimension)
        .map(|_| random.f32() * 2.0 - 1.0)
        .collect()
}

/// Rows with ids `v0`, `v1`, ...
pub fn vectors(rows: &[f32], dimension: usize) -> Vec<Vector> {
    let numbered = rows.chunks_exact(dimension).enumerate();
    numbered
        .map(|(number, row)| Vector {
            id: format!("v{number}"),
            data: row.to_vec(),
            payload: None,
        })
        .collect()
}

/// The distance of two vectors in the metric's own terms, in f64.
pub fn distance(metric: DistanceMetric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
    let dot: f64 = pairs().map(|(x, y)| x * y).sum();
    let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    match metric {
        DistanceMetric::Euclidean => pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
        DistanceMetric::DotProduct => -dot,
        DistanceMetric::Cosine => {
            let lengths = length(a) * length(b);
            if lengths > 0.0 {
                1.0 - dot / lengths
            } else {
                1.0
            }
        }
    }
}

/// Every row's distance to the query with its number, nearest first, ties by number.
pub fn exact(metric: DistanceMetric, rows: &[f32], query: &[f32]) -> Vec<(f64, usize)> {
    let mut all: Vec<_> = rows
        .chunks_exact(query.len())
        .enumerate()
        .map(|(number, row)| (distance(metric, query, row), number))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

/// The share of the `k` nearest that was found; whatever is as near as the k-th counts.
pub fn recall(metric: DistanceMetric, rows: &[f32], query: &[f32], found: &[u32], k: usize) -> f64 {
    let truth = exact(metric, rows, query);
    let bound = truth[k - 1].0 + 1e-6 * truth[k - 1].0.abs() + 1e-9;
    let row = |slot: u32| &rows[slot as usize * query.len()..][..query.len()];
    let near = found
        .iter()
        .filter(|slot| distance(metric, query, row(**slot)) <= bound);
    near.count().min(k) as f64 / k as f64
}
