//! The same where the vectors are in RAM, and the device walks alone.

use super::*;
use crate::config::{FullRows, Precision};
use crate::gpu::testing;

/// Steps of a life before the device is lost: some vectors are deleted and replaced then.
const BEFORE: usize = 10;

fn in_ram(fallback: FallbackPolicy) -> CollectionOptions {
    CollectionOptions {
        precision: Precision::Int8,
        full_rows: FullRows::Ram,
        ..policy(fallback)
    }
}

#[test]
fn vectors_in_ram_survive_every_fault_of_their_device() {
    let device = testing::fresh_device();
    let options = in_ram(FallbackPolicy::Report);
    let every = |point, count, fault| every_of(&device, options, point, count, fault);
    assert!(every(Point::Allocate, u64::MAX, Fault::Fail) > 20);
    assert!(every(Point::Submit, 1, Fault::Fail) > 20);
    assert!(every(Point::Submit, 1, Fault::Stale) > 20);
    assert!(every(Point::Wait, 1, Fault::Fail) > 4);
    assert!(every(Point::Map, 1, Fault::Fail) > 4);
}

#[test]
fn vectors_in_ram_outlive_their_device() {
    let whole = undisturbed(&testing::device());
    let end = whole.last().unwrap();
    let (_, walk) = LIFE[7];
    for (fallback, fault) in [
        (FallbackPolicy::Report, Fault::Lose),
        (FallbackPolicy::Forbid, Fault::Hang),
        (FallbackPolicy::Spill, Fault::Lose),
        (FallbackPolicy::Mirror, Fault::Lose),
    ] {
        let device = testing::fresh_device();
        let collection = create(&device, in_ram(fallback)).unwrap();
        for (name, step) in &LIFE[..BEFORE] {
            step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        device.faults().order(Point::Wait, 0, 1, fault);
        let found = walk(&collection);
        device.faults().clear();
        let stats = collection.stats();
        assert_eq!(stats.fallback.unwrap().what, FallbackKind::Lost);
        if matches!(fallback, FallbackPolicy::Spill | FallbackPolicy::Mirror) {
            found.unwrap();
            assert_eq!(stats.backend, Backend::Cpu);
        } else {
            let error = found.unwrap_err();
            assert!(matches!(error, E::DeviceLost { .. }), "{error}");
            assert_ne!(stats.backend, Backend::Cpu);
            // What needs no device goes on.
            assert_eq!(seen(&collection), whole[BEFORE], "{fallback:?}");
            collection.return_to_device().unwrap();
            assert_eq!(collection.stats().fallback, None);
            walk(&collection).unwrap();
        }
        assert_eq!(seen(&collection), whole[BEFORE], "{fallback:?}");
        for (name, step) in &LIFE[BEFORE..] {
            step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        collection.return_to_device().unwrap();
        assert_ne!(collection.stats().backend, Backend::Cpu);
        assert!(collection.stats().ram_bytes > 0);
        assert_eq!(&seen(&collection), end, "{fallback:?}");
        collection.check().unwrap();
    }
}

#[test]
fn a_device_lost_in_the_middle_of_a_change_costs_no_vector_in_ram() {
    let whole = undisturbed(&testing::device());
    for (at, (name, step)) in LIFE.iter().enumerate() {
        let device = testing::fresh_device();
        let collection = create(&device, in_ram(FallbackPolicy::Spill)).unwrap();
        for (_, step) in &LIFE[..at] {
            step(&collection).unwrap();
        }
        device.faults().order(Point::Submit, 0, 1, Fault::Lose);
        step(&collection).unwrap_or_else(|error| panic!("{name}: {error}"));
        device.faults().clear();
        assert_eq!(seen(&collection), whole[at + 1], "{name}");
        collection.check().unwrap();
    }
}
