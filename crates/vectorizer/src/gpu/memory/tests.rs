//! What the books say, and what they refuse.

use super::*;

#[test]
fn a_lease_is_counted_while_it_lives() {
    let ledger = Ledger::new(None);
    let rows = ledger.take(Label::Rows, 100).unwrap();
    rows.set_used(60);
    let pool = ledger.take(Label::Pool, 50).unwrap();
    assert_eq!(
        ledger.total(),
        Account {
            taken: 150,
            used: 60,
            peak: 150,
            count: 2
        }
    );
    drop(rows);
    assert_eq!(
        ledger.total(),
        Account {
            taken: 50,
            used: 0,
            peak: 150,
            count: 1
        }
    );
    assert_eq!(
        ledger.account(Label::Rows),
        Account {
            taken: 0,
            used: 0,
            peak: 100,
            count: 0
        }
    );
    drop(pool);
    assert_eq!(ledger.total().taken, 0);
}

#[test]
fn over_the_limit_nothing_is_taken() {
    let ledger = Ledger::new(Some(100));
    let _half = ledger.take(Label::Rows, 60).unwrap();
    let error = ledger.take(Label::Pool, 41).unwrap_err();
    assert_eq!(
        error,
        VectorizerError::VramLimitExceeded {
            limit: 100,
            requested: 101
        }
    );
    assert_eq!(ledger.total().taken, 60);
    ledger.take(Label::Pool, 40).unwrap();
}

#[test]
fn a_child_is_within_its_own_limit_and_its_parents() {
    let device = Ledger::new(Some(100));
    let [one, other] = [Some(60), None].map(|limit| device.child(limit));
    let held = one.take(Label::Rows, 50).unwrap();
    held.set_used(40);
    for (ledger, bytes, limit, requested) in [
        (&one, 11, 60, 61),
        (&other, 51, 100, 101),
        (&one, 70, 60, 120),
    ] {
        let error = VectorizerError::VramLimitExceeded { limit, requested };
        assert_eq!(ledger.take(Label::Pool, bytes).unwrap_err(), error);
        assert_eq!(ledger.admit(bytes).unwrap_err(), error);
    }
    let rest = other.take(Label::Graph, 50).unwrap();
    other.admit(0).unwrap();
    assert_eq!(device.total().taken, 100);
    assert_eq!(device.account(Label::Rows), one.account(Label::Rows));
    assert_eq!((one.total().used, other.total().taken), (40, 50));
    drop((held, rest));
    for ledger in [device, one, other] {
        let total = ledger.total();
        assert_eq!((total.taken, total.used, total.count), (0, 0, 0));
    }
}

#[test]
fn a_watch_sees_its_own_peak() {
    let ledger = Ledger::new(None);
    drop(ledger.take(Label::Rows, 90).unwrap());
    let held = ledger.take(Label::Rows, 10).unwrap();
    let watch = ledger.watch();
    drop(ledger.take(Label::Pool, 30).unwrap());
    drop(ledger.take(Label::Pool, 20).unwrap());
    assert_eq!((watch.peak(), ledger.total().peak), (40, 90));
    drop((watch, held));
    assert!(ledger.0.books.lock().watches.is_empty());
}
