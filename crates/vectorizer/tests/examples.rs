//! Every example runs to its end.
#![allow(unreachable_pub, reason = "the examples are programs of their own")]

#[path = "../examples/complete.rs"]
mod complete;
#[path = "../examples/durable_and_filtered.rs"]
mod durable_and_filtered;
#[path = "../examples/error_handling.rs"]
mod error_handling;
#[path = "../examples/many_threads.rs"]
mod many_threads;
#[path = "../examples/monitoring.rs"]
mod monitoring;
#[path = "../examples/quick_start.rs"]
mod quick_start;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn quick_start_runs() -> Outcome {
    quick_start::main()
}

#[test]
fn complete_runs() -> Outcome {
    complete::main()
}

#[test]
fn error_handling_runs() -> Outcome {
    error_handling::main()
}

#[test]
fn monitoring_runs() -> Outcome {
    monitoring::main()
}

#[test]
fn durable_and_filtered_runs() -> Outcome {
    durable_and_filtered::main()
}

#[test]
fn many_threads_runs() -> Outcome {
    many_threads::main()
}
