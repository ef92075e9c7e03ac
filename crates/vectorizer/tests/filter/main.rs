//! Filters: what they mean, against a second judge; what they look like; what is refused, and with which words.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "what helps a test fails as the test does; small numbers are exact"
)]

#[path = "../support/filters.rs"]
mod filters;
mod meaning;
#[path = "../support/naive.rs"]
mod naive;
mod refusal;

use filters::{filter, payload, with_nulls};
use proptest::prelude::*;
use serde_json::{Value, json};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter, IdPredicate, MAX_FILTER_DEPTH, Range};
use vectorizer::models::Payload;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn holds_where_the_second_judge_says(
        json in filter(true),
        payload in payload(),
        id in prop::sample::select(vec!["x", "7", "-7", "z"]),
    ) {
        let filter = Filter::from_value(&json).unwrap();
        let expected = naive::holds(&json, id, payload.as_ref());
        let payload = payload.map(Payload);
        prop_assert_eq!(filter.matches(id, payload.as_ref()).unwrap(), expected);
    }

    #[test]
    fn json_and_back(json in filter(true)) {
        let filter = Filter::from_value(&json).unwrap();
        let text = serde_json::to_string(&filter).unwrap();
        prop_assert_eq!(&Filter::from_json(&text).unwrap(), &filter);
        prop_assert_eq!(&serde_json::from_str::<Filter>(&text).unwrap(), &filter);
        prop_assert_eq!(&text.parse::<Filter>().unwrap(), &filter);
    }

    #[test]
    fn what_is_not_set_may_be_null(json in filter(true)) {
        let filter = Filter::from_value(&json).unwrap();
        let dumped = with_nulls(&json);
        prop_assert!(dumped.to_string().len() > json.to_string().len());
        prop_assert_eq!(&Filter::from_value(&dumped).unwrap(), &filter, "{}", &dumped);
        prop_assert_eq!(&Filter::from_json(&dumped.to_string()).unwrap(), &filter);
        prop_assert_eq!(&serde_json::from_value::<Filter>(dumped).unwrap(), &filter);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\":,a-z0-9 .\\\\]{0,60}", cut in 0..200usize, json in filter(true)) {
        drop(Filter::from_json(&text));
        let whole = json.to_string();
        if let Some(part) = whole.get(..cut.min(whole.len())) {
            prop_assert_eq!(Filter::from_json(part).is_ok(), part.len() == whole.len());
        }
    }
}
