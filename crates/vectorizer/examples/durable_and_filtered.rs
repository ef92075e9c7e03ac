//! A collection on disk, searched with filters: `cargo run --example durable_and_filtered`.
#![expect(clippy::print_stdout, reason = "an example speaks")]

use serde_json::json;
use vectorizer::collection::Collection;
use vectorizer::config::SearchOptions;
use vectorizer::filter::{Condition, Filter, Range};
use vectorizer::models::{DistanceMetric, Vector};

/// Closes a shop, opens it again, and looks for what is cheap.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("vectorizer-example-{}", std::process::id()));
    let outcome = shop(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn shop(folder: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let collection = Collection::create(folder, 2, DistanceMetric::Euclidean)?;
    let wares = (0..100u16).map(|number| Vector {
        id: format!("ware {number}"),
        data: vec![f32::from(number % 10), f32::from(number / 10)],
        payload: Some(json!({"price": number, "color": if number % 3 == 0 { "red" } else { "blue" }, "tags": ["new"]}).into()),
    });
    // On the disk when the call returns.
    collection.add_vectors_batch(wares.collect::<Vec<_>>())?;
    collection.close()?;

    let collection = Collection::open(folder)?;
    collection.create_payload_index("price")?;
    let cheap_and_red = Filter::must([
        Condition::range("price", Range::default().lt(30)),
        Condition::equals("color", "red"),
    ]);
    // The same as JSON, as a service would get it.
    println!("{}", cheap_and_red.to_value()?);
    println!("{}", collection.explain(&cheap_and_red)?);

    let options = SearchOptions {
        filter: Some(cheap_and_red.clone()),
        with_payload: true,
        ..SearchOptions::default()
    };
    for hit in collection.search_with(&[5.0, 5.0], 3, &options)? {
        println!("{} at {:.2}: {:?}", hit.id, hit.distance, hit.payload);
    }
    println!(
        "{} of {} are cheap and red",
        collection.count(&cheap_and_red)?,
        collection.vector_count()
    );

    let mut page = collection.scroll(Some(&cheap_and_red), None, 4)?;
    loop {
        println!(
            "{:?}",
            page.items.iter().map(|item| &item.id).collect::<Vec<_>>()
        );
        let Some(next) = page.next else { break };
        page = collection.scroll(Some(&cheap_and_red), Some(next), 4)?;
    }
    println!("{} sold", collection.delete_by(&cheap_and_red)?);
    collection.close()?;
    assert_eq!(Collection::open(folder)?.vector_count(), 90);
    Ok(())
}
