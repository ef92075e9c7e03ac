//! `vectorizer create`: an empty collection in a folder.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use vectorizer::collection::Collection;
use vectorizer::config::{
    CollectionOptions, HnswConfig, MAX_CONNECTIONS, MAX_DIMENSION, Precision,
};
use vectorizer::gpu::context::Context;
use vectorizer::store::Durability;

use crate::args::{DeviceArguments, Metric, PlaceArguments, precision};
use crate::device;
use crate::failure::Result;
use crate::index::{IndexArguments, say, say_json};

const HELP: &str = "\
Examples:
  vectorizer create --index words --dimension 512 --metric cosine
  vectorizer create --index images --dimension 784 --metric euclidean --m 24 --ef-construction 400 --precision int8

What is chosen here stays for the collection's life; --full-rows alone may be chosen anew whenever it is opened. The folder is made if it is not there; one that holds a collection is refused.
--device opens the device and says whether it can take such a collection. It is not remembered: each command is told anew.
Then: vectorizer add --index words vectors.npy";

/// Makes an empty collection that is kept in a folder.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    index: IndexArguments,
    /// Components of a vector.
    #[arg(long, value_name = "D", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_DIMENSION as u64))]
    dimension: usize,
    /// How nearness is measured.
    #[arg(long, value_enum)]
    metric: Metric,
    /// Links a vector makes (the paper's M); level 0 holds twice as many.
    #[arg(long, value_name = "LINKS", default_value_t = HnswConfig::default().max_connections,
        value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_CONNECTIONS as u64))]
    m: usize,
    /// Beam width while building.
    #[arg(long, value_name = "WIDTH", default_value_t = HnswConfig::default().ef_construction,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    ef_construction: usize,
    /// Decides the levels of the graph: the same seed and input give the same graph.
    #[arg(long, default_value_t = CollectionOptions::default().seed)]
    seed: u64,
    /// The form in which walks through the graph compare vectors; what they find is scored again by the vectors as they are.
    #[arg(long, value_name = "FORM", default_value_t, value_parser = precision())]
    precision: Precision,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    place: PlaceArguments,
}

pub(crate) fn run(arguments: &CreateArguments) -> Result<()> {
    let options = CollectionOptions {
        hnsw: HnswConfig {
            ef_construction: arguments.ef_construction,
            ..HnswConfig::with_connections(arguments.m)
        },
        seed: arguments.seed,
        precision: arguments.precision,
        full_rows: arguments.place.full_rows.unwrap_or_default(),
        ..CollectionOptions::default()
    };
    let folder = arguments.index.folder()?;
    // Nothing of an empty collection is on a device: one is opened only where somebody wants to know of it.
    let context = match &arguments.device.device {
        Some(_) => device::open(&arguments.device)?,
        None => Context::cpu(),
    };
    let collection = Collection::create_with(
        folder,
        &context,
        arguments.dimension,
        arguments.metric.into(),
        options,
        Durability::EveryBatch,
    )?;
    let metric = collection.metric();
    collection.close()?;
    if arguments.index.json {
        say_json(&serde_json::json!({
            "created": folder.display().to_string(),
            "dimension": arguments.dimension,
            "metric": metric,
            "precision": arguments.precision,
            "full_rows": options.full_rows,
            "device": arguments.device.device.as_ref().map(|_| context.device_name()),
        }))
    } else {
        let dimension = arguments.dimension;
        say(&format!(
            "created {}: vectors of {dimension} components, {metric}",
            folder.display()
        ))
    }
}
