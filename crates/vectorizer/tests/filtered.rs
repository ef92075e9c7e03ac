//! Filters on collections: what is found, counted, gone through and deleted is what a second judge names, with indexes and without.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "what helps a test fails as the test does; small numbers are exact"
)]

#[path = "support/filters.rs"]
mod filters;
#[path = "support/naive.rs"]
mod naive;
mod support;

use std::sync::{Arc, Once};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::contexts;
use vectorizer::collection::{Collection, Item, Means};
use vectorizer::config::{CollectionOptions, SearchOptions};
use vectorizer::filter::{Condition, Filter, Range};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Payload, Vector};

fn empty(context: &Context) -> Collection {
    let options = CollectionOptions::default();
    Collection::with_context(context, 1, DistanceMetric::Euclidean, options).unwrap()
}

/// On a line, at its number.
fn vector(number: usize, payload: Option<Value>) -> Vector {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let at = number as f32;
    Vector {
        id: number.to_string(),
        data: vec![at],
        payload: payload.map(Payload),
    }
}

fn passing(collection: &Collection, filter: &Filter) -> Vec<String> {
    let vectors = collection.vectors(Some(filter.clone()));
    vectors.map(|vector| vector.unwrap().id).collect()
}

/// A change, by number of the vector.
#[derive(Debug, Clone)]
enum Step {
    Put(usize, Option<Value>),
    Payload(usize, Option<Value>),
    Delete(usize),
    DeleteBy(Value),
    Index(&'static str),
    Drop(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..12usize;
    prop_oneof![
        6 => (number.clone(), filters::payload()).prop_map(|(n, payload)| Step::Put(n, payload)),
        3 => (number.clone(), filters::payload()).prop_map(|(n, payload)| Step::Payload(n, payload)),
        2 => number.prop_map(Step::Delete),
        1 => filters::filter(true).prop_map(Step::DeleteBy),
        2 => filters::key().prop_map(Step::Index),
        1 => filters::key().prop_map(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The model is a list in the order of insertion.
    #[test]
    fn whatever_happens_filters_see_it(
        steps in prop::collection::vec(step(), 1..40),
        filters in prop::collection::vec(filters::filter(true), 1..4),
        limit in 1..5usize,
    ) {
        let collection = empty(&Context::cpu());
        let mut model: Vec<(usize, Option<Value>)> = Vec::new();
        let asked: Vec<_> = filters.iter().map(|json| (json, Filter::from_value(json).unwrap())).collect();
        for step in steps {
            // What each filter was answered is remembered, and asked for again after the change.
            for _ in 0..2 {
                for (json, filter) in &asked {
                    let left: Vec<_> = model
                        .iter()
                        .filter(|(number, payload)| naive::holds(json, &number.to_string(), payload.as_ref()))
                        .map(|(number, _)| number.to_string())
                        .collect();
                    // The dead among what passes are in no page of it, and would be in the number.
                    let count = collection.count(filter).unwrap();
                    prop_assert_eq!(count, left.len(), "{} before {:?}", json, step);
                    prop_assert_eq!(passing(&collection, filter), left, "{} before {:?}", json, step);
                }
            }
            match step {
                Step::Put(number, payload) => {
                    collection.upsert_vector(vector(number, payload.clone())).unwrap();
                    model.retain(|(other, _)| *other != number);
                    model.push((number, payload));
                }
                Step::Payload(number, payload) => {
                    let known = model.iter_mut().find(|(other, _)| *other == number);
                    let set = collection.set_payload(&number.to_string(), payload.clone().map(Payload));
                    prop_assert_eq!(set.is_ok(), known.is_some());
                    if let Some((_, old)) = known {
                        *old = payload;
                    }
                }
                Step::Delete(number) => {
                    let known = model.iter().any(|(other, _)| *other == number);
                    prop_assert_eq!(collection.delete(&number.to_string()).is_ok(), known);
                    model.retain(|(other, _)| *other != number);
                }
                Step::DeleteBy(filter) => {
                    let before = model.len();
                    model.retain(|(number, payload)| !naive::holds(&filter, &number.to_string(), payload.as_ref()));
                    let filter = Filter::from_value(&filter).unwrap();
                    prop_assert_eq!(collection.delete_by(&filter).unwrap(), before - model.len());
                }
                Step::Index(key) => collection.create_payload_index(key).unwrap(),
                Step::Drop(key) => {
                    collection.drop_payload_index(key).unwrap();
                }
            }
        }
        collection.consolidate().unwrap();
        for json in filters {
            let filter = Filter::from_value(&json).unwrap();
            let expected: Vec<_> = model
                .iter()
                .filter(|(number, payload)| naive::holds(&json, &number.to_string(), payload.as_ref()))
                .map(|(number, payload)| (number.to_string(), payload.clone()))
                .collect();
            let ids: Vec<_> = expected.iter().map(|(id, _)| id.clone()).collect();
            prop_assert_eq!(&passing(&collection, &filter), &ids, "{}", json);
            prop_assert_eq!(collection.count(&filter).unwrap(), ids.len());
            prop_assert_eq!(collection.explain(&filter).unwrap().passed, ids.len() as u64);
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = collection.scroll(Some(&filter), after, limit).unwrap();
                prop_assert!(page.items.len() == limit || page.next.is_none());
                seen.extend(page.items.into_iter().map(|item| (item.id, item.payload.map(|payload| payload.0))));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(&seen, &expected);
            let options = SearchOptions { filter: Some(filter), ..SearchOptions::default() };
            let found = collection.search_with(&[-1.0], 100, &options).unwrap();
            let found: Vec<_> = found.into_iter().map(|hit| hit.id).collect();
            let mut nearest = ids;
            nearest.sort_by_key(|id| id.parse::<usize>().unwrap());
            prop_assert_eq!(found, nearest);
        }
    }
}

/// A thousand vectors of ten colors and a thousand prices.
fn shop(context: &Context) -> Collection {
    let collection = empty(context);
    let vectors: Vec<_> = (0..1000usize)
        .map(|number| {
            vector(
                number,
                Some(json!({"color": format!("c{}", number % 10), "price": number, "name": format!("n{number}")})),
            )
        })
        .collect();
    collection.add_vectors_batch(vectors).unwrap();
    collection
}

#[test]
fn it_says_what_an_index_did_and_what_was_looked_at() {
    let collection = shop(&Context::cpu());
    let filter = Filter::must([
        Condition::equals("name", "n13"),
        Condition::equals("color", "c3"),
        Condition::range("price", Range::default().lt(100)),
    ])
    .with_must_not([Condition::has_id(["3"])]);
    let told = |filter| {
        let explanation = collection.explain(filter).unwrap();
        let steps = explanation.steps.iter();
        steps
            .map(|step| (step.condition.clone(), step.means, step.among, step.held))
            .collect::<Vec<_>>()
    };
    let step = |at: &str, means, among, held| (at.to_owned(), means, among, held);
    assert_eq!(
        told(&filter),
        [
            step("must_not[0]", Means::Ids, 1000, 1),
            step("must[0]", Means::Scan, 999, 1),
            step("must[1]", Means::Scan, 1, 1),
            step("must[2]", Means::Scan, 1, 1),
        ]
    );
    collection.create_payload_index("color").unwrap();
    collection.create_payload_index("price").unwrap();
    collection.create_payload_index("price").unwrap();
    assert_eq!(collection.payload_indexes(), ["color", "price"]);
    assert_eq!(
        told(&filter),
        [
            step("must[1]", Means::Index, 1000, 100),
            step("must[2]", Means::Index, 100, 10),
            step("must_not[0]", Means::Ids, 10, 1),
            step("must[0]", Means::Scan, 9, 1),
        ]
    );
    let before = collection.stats().filters;
    assert_eq!(collection.count(&filter).unwrap(), 1);
    assert_eq!(collection.count(&filter).unwrap(), 1);
    let after = collection.stats().filters;
    assert_eq!(after.evaluated - before.evaluated, 1);
    assert_eq!(after.reused - before.reused, 1);
    assert_eq!(after.by_index - before.by_index, 2);
    assert_eq!(after.by_ids - before.by_ids, 1);
    assert_eq!(
        (
            after.by_scan - before.by_scan,
            after.scanned - before.scanned
        ),
        (1, 9)
    );
    // A change is a new question.
    collection.add_vector(vector(1000, None)).unwrap();
    assert_eq!(collection.count(&filter).unwrap(), 1);
    assert_eq!(collection.stats().filters.evaluated, after.evaluated + 1);
    assert!(collection.drop_payload_index("color").unwrap());
    assert!(!collection.drop_payload_index("color").unwrap());
    assert!(collection.create_payload_index("a..b").is_err());
    let text = collection.explain(&filter).unwrap().to_string();
    assert!(
        text.contains("must[2]") && text.contains("index") && text.ends_with("1 vectors pass"),
        "{text}"
    );
}

#[test]
fn the_latest_answers_are_remembered_up_to_a_number_and_up_to_a_size() {
    let collection = shop(&Context::cpu());
    // Whether a filter's answer was still known.
    let known = |filter: &Filter| {
        let before = collection.stats().filters;
        collection.count(filter).unwrap();
        let after = collection.stats().filters;
        assert_eq!(
            after.evaluated + after.reused,
            before.evaluated + before.reused + 1
        );
        after.reused > before.reused
    };
    let one = |number: usize| Filter::must([Condition::equals("price", number as u64)]);
    assert!((0..65).all(|number| !known(&one(number))));
    assert!(known(&one(64)) && known(&one(1)));
    assert!(!known(&one(0)));
    // Each takes a third of the room, as one of a list and alone.
    let in_list = |text: String| Condition::any_of("color", [text]);
    let alone = |text: String| Condition::equals("color", text);
    for condition in [&in_list as &dyn Fn(String) -> Condition, &alone] {
        known(&one(64));
        let long = |letter: &str| Filter::must([condition(letter.repeat(20 << 20))]);
        let four = ["a", "b", "c", "d"].map(long);
        assert!(four.iter().all(|filter| !known(filter)));
        assert!(known(&four[1]) && known(&four[3]) && known(&four[2]));
        assert!(!known(&four[0]) && !known(&one(64)));
    }
}

#[test]
fn bounds_the_wrong_way_round_are_empty_with_an_index_too() {
    let collection = shop(&Context::cpu());
    collection.create_payload_index("price").unwrap();
    for range in [
        Range::default().gt(5).lt(5),
        Range::default().gte(6).lte(5),
        Range::default().gte(5).lt(5),
        Range::default().gt(4.5).lt(4.75),
        Range::default().gt(999),
    ] {
        let filter = Filter::must([Condition::range("price", range.clone())]);
        assert_eq!(collection.count(&filter).unwrap(), 0, "{range:?}");
    }
}

#[test]
fn a_predicate_is_asked_anew_each_time() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let collection = shop(&Context::cpu());
    let open = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&open);
    let filter = Filter::ids(move |_| asked.load(Ordering::Relaxed));
    assert_eq!(collection.count(&filter).unwrap(), 0);
    open.store(true, Ordering::Relaxed);
    assert_eq!(collection.count(&filter).unwrap(), 1000);
}

/// A function of the caller's that first does something to the collection.
fn after_once(
    collection: &Arc<Collection>,
    first: impl Fn(&Collection) + Send + Sync + 'static,
    holds: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Filter {
    let (weak, once) = (Arc::downgrade(collection), Once::new());
    Filter::ids(move |id| {
        once.call_once(|| first(&weak.upgrade().unwrap()));
        holds(id)
    })
}

#[test]
fn what_was_asked_or_scanned_before_a_change_is_not_taken_for_what_is_there_after_it() {
    let collection = Arc::new(shop(&Context::cpu()));
    let gone: Vec<_> = (0..100).map(|number: u32| number.to_string()).collect();
    collection.delete_batch(&gone).unwrap();
    // Slots are numbered anew while ids are asked about.
    let renumber = |collection: &Collection| collection.consolidate().unwrap();
    let late = |id: &str| id.parse::<u32>().unwrap() >= 550;
    let filter = after_once(&collection, renumber, late);
    assert_eq!(collection.count(&filter).unwrap(), 450);
    // One more comes to what a scan has found.
    let set = |collection: &Collection, id: &str| {
        let payload = Payload(json!({"color": "new"}));
        collection.set_payload(id, payload).unwrap();
    };
    set(&collection, "700");
    let filter = after_once(&collection, move |collection| set(collection, "600"), late);
    let filter = Filter {
        must: [vec![Condition::equals("color", "new")], filter.must].concat(),
        ..filter
    };
    assert_eq!(collection.count(&filter).unwrap(), 2);
}

#[test]
fn a_scroll_goes_on_where_it_was_whatever_is_deleted_meanwhile() {
    let collection = shop(&Context::cpu());
    let first = collection.scroll(None, None, 10).unwrap();
    let ids = |items: &[Item]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first.items)[8..], ["8", "9"]);
    // The vector at the cursor goes, others before and after it too, and slots are numbered anew.
    let gone: Vec<_> = (5..12).map(|number: u32| number.to_string()).collect();
    collection.delete_batch(&gone).unwrap();
    collection.consolidate().unwrap();
    collection.upsert_vector(vector(0, None)).unwrap();
    let second = collection.scroll(None, first.next, 2).unwrap();
    assert_eq!(ids(&second.items), ["12", "13"]);
    let rest = collection.scroll(None, second.next, 10_000).unwrap();
    assert_eq!((rest.items.len(), rest.next), (987, None));
    // As many as there are: nothing follows.
    let rest = collection.scroll(None, second.next, 987).unwrap();
    assert_eq!((rest.items.len(), rest.next), (987, None));
    assert_eq!(rest.items.last().unwrap().id, "0");
    assert!(collection.scroll(None, None, 0).is_err());
    let page = collection.scroll_vectors(None, None, 6).unwrap();
    let at: Vec<_> = page.items.iter().map(|vector| vector.data[0]).collect();
    assert_eq!(at, [1.0, 2.0, 3.0, 4.0, 12.0, 13.0]);
}

#[test]
fn filtered_searches_find_the_nearest_allowed_on_every_engine() {
    for context in contexts() {
        let collection = shop(&context);
        collection.create_payload_index("price").unwrap();
        for (low, high) in [(0, 10), (400, 600), (990, 1000), (0, 1000), (500, 501)] {
            let options = SearchOptions {
                filter: Some(Filter::must([Condition::range(
                    "price",
                    Range::default().gte(low).lt(high),
                )])),
                ..SearchOptions::default()
            };
            let found = collection.search_with(&[499.8], 5, &options).unwrap();
            let mut expected: Vec<_> = (low..high).collect();
            expected.sort_by(|a, b| {
                let far = |number: &i32| (f64::from(*number) - 499.8).abs();
                far(a).total_cmp(&far(b))
            });
            expected.truncate(5);
            let found: Vec<_> = found
                .iter()
                .map(|hit| hit.id.parse::<i32>().unwrap())
                .collect();
            assert_eq!(found, expected, "{context} {low}..{high}");
        }
    }
}
