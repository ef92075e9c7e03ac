use std::ops::ControlFlow;

use super::clock::{choose, summary};
use super::*;

fn candidate(value: u64, median: f64, spread: f64) -> Candidate {
    Candidate {
        value,
        median_ms: Some(median),
        spread_ms: Some(spread),
        left_out: None,
    }
}

#[test]
fn a_median_and_a_spread_are_taken_of_times() {
    assert_eq!(summary(&mut []), None);
    assert_eq!(summary(&mut [3.0]), Some((3.0, 0.0)));
    assert_eq!(summary(&mut [3.0, 1.0, 2.0]), Some((2.0, 2.0)));
    // Of five and more one at each end is set aside.
    assert_eq!(summary(&mut [9.0, 1.0, 5.0, 4.0, 6.0]), Some((5.0, 2.0)));
}

#[test]
fn the_default_stays_unless_it_is_beaten_by_more_than_the_spread() {
    let default = candidate(64, 10.0, 1.0);
    let chosen = |other: Candidate| choose(&[default.clone(), other], 64);
    assert_eq!(chosen(candidate(128, 8.9, 0.1)), 128);
    assert_eq!(chosen(candidate(128, 9.0, 0.1)), 64, "the default's spread");
    assert_eq!(chosen(candidate(128, 8.0, 2.0)), 64, "its own spread");
    assert_eq!(chosen(candidate(128, 12.0, 0.1)), 64);
    let mut out = candidate(128, 1.0, 0.1);
    out.median_ms = None;
    assert_eq!(chosen(out), 64, "left out");
    let three = [candidate(32, 5.0, 0.1), default, candidate(256, 4.0, 0.1)];
    assert_eq!(choose(&three, 64), 256, "the fastest");
    assert_eq!(choose(&three[..1], 64), 64, "no default to beat");
}

#[test]
fn the_cpu_engine_has_nothing_to_tune() {
    let context = Context::cpu();
    assert!(context.tuning().is_none());
    let options = TuneOptions::default();
    let go_on = |_| ControlFlow::Continue(());
    let tuning = Tuning::default_for(context.tier(), context.device().info().kind);
    for error in [
        tune(&context, &options, go_on).unwrap_err(),
        file(&context).unwrap_err(),
        remember(&context, &tuning).unwrap_err(),
    ] {
        assert!(
            matches!(error, VectorizerError::NothingToTune { .. }),
            "{error}"
        );
    }
}

#[cfg(feature = "gpu")]
mod on_a_device {
    use super::*;
    use crate::gpu::testing;

    const LITTLE: TuneOptions = TuneOptions {
        rows: 1_000,
        queries: 40,
        rounds: 3,
    };

    #[test]
    fn every_knob_is_measured_and_what_is_chosen_can_be_had() {
        let context = Context::of_device(testing::device());
        let mut told = Vec::new();
        let report = tune(&context, &LITTLE, |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
        let (tier, kind) = (context.tier(), context.device().info().kind);
        report.tuning.validate(tier, kind).unwrap();
        assert!(report.same_graph);
        let measured: Vec<&str> = report.trials.iter().map(|trial| trial.knob).collect();
        let expected = Knob::ALL.into_iter();
        let expected = expected.filter(|knob| knob.choices(tier, kind).len() > 1);
        assert_eq!(measured, expected.map(Knob::name).collect::<Vec<_>>());
        for trial in &report.trials {
            for candidate in &trial.candidates {
                assert_eq!(candidate.left_out, None, "{trial:?}");
                assert!(candidate.median_ms.is_some_and(|median| median > 0.0));
            }
        }
        let last = told.last().unwrap();
        assert_eq!((told[0].done, last.done + 1), (0, last.total));
        assert_eq!(told.len(), last.total);
    }

    #[test]
    fn it_stops_at_the_callers_wish_and_refuses_nonsense() {
        let context = Context::of_device(testing::device());
        let stopped = tune(&context, &LITTLE, |progress| {
            if progress.done == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(stopped.unwrap_err(), VectorizerError::Cancelled);
        for options in [
            TuneOptions { rows: 9, ..LITTLE },
            TuneOptions {
                queries: 16,
                ..LITTLE
            },
            TuneOptions {
                rounds: 2,
                ..LITTLE
            },
        ] {
            let error = tune(&context, &options, |_| ControlFlow::Continue(())).unwrap_err();
            assert!(
                matches!(error, VectorizerError::InvalidConfig { .. }),
                "{error}"
            );
        }
    }
}
