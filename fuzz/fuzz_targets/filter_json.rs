//! A filter as JSON. What is understood is written as JSON that is understood as the same.
#![no_main]

use vectorizer::filter::Filter;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(filter) = Filter::from_json(text) else {
        return;
    };
    if let Ok(value) = filter.to_value() {
        assert_eq!(Filter::from_value(&value).as_ref(), Ok(&filter));
    }
    drop(filter.matches("id", None));
});
