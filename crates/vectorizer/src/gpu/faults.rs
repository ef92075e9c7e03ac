//! Faults on order: what a device does once in a million hours, at a place a test names.
//!
//! There are four places where a device can fail: the one door of allocation, the submission of work, the wait for it, and the mapping
//! of what it wrote. Each asks here first. Without the feature `fault-injection` (and outside this crate's tests) nothing is kept and
//! nothing asked, and this module is not public.

/// A place where a device can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Memory is taken, of a device or of the CPU engine.
    Allocate,
    /// Work is handed to the device.
    Submit,
    /// Work is waited for.
    Wait,
    /// The device's answer, or memory to write to, is opened to the host.
    Map,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The call is refused.
    Fail,
    /// The device does not answer within the time that any wait has.
    Hang,
    /// The device is gone from here on.
    Lose,
    /// The work is not done and nobody says so: what was in memory before stays there. At [`Point::Submit`] alone.
    Stale,
}

#[cfg(any(test, feature = "fault-injection"))]
#[derive(Debug, Default)]
struct Plan {
    met: [u64; 4],
    order: Option<(Point, u64, u64, Fault)>,
}

/// The faults ordered of a device. A clone is another handle on the same order.
#[derive(Debug, Clone, Default)]
pub struct Faults(
    #[cfg(any(test, feature = "fault-injection"))] std::sync::Arc<parking_lot::Mutex<Plan>>,
);

impl Faults {
    #[cfg(any(test, feature = "fault-injection"))]
    pub(crate) fn meet(&self, point: Point) -> Option<Fault> {
        let mut plan = self.0.lock();
        let number = plan.met[point as usize];
        plan.met[point as usize] += 1;
        let (at, skipped, count, fault) = plan.order?;
        let due = at == point && number >= skipped && number - skipped < count;
        due.then_some(fault)
    }

    #[cfg(not(any(test, feature = "fault-injection")))]
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "the other build asks")]
    pub(crate) fn meet(&self, _: Point) -> Option<Fault> {
        None
    }
}

#[cfg(any(test, feature = "fault-injection"))]
impl Faults {
    /// From now on, the first `skipped` calls at `point` go well and the `count` that follow meet `fault`. Replaces what was
    /// ordered before.
    pub fn order(&self, point: Point, skipped: u64, count: u64, fault: Fault) {
        let mut plan = self.0.lock();
        plan.met = [0; 4];
        plan.order = Some((point, skipped, count, fault));
    }

    /// No faults any more, and counting begins anew.
    pub fn clear(&self) {
        *self.0.lock() = Plan::default();
    }

    /// How often a place was passed since the last order.
    #[must_use]
    pub fn met(&self, point: Point) -> u64 {
        self.0.lock().met[point as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ordered_comes_when_it_is_due_and_not_again() {
        let faults = Faults::default();
        faults.order(Point::Submit, 2, 2, Fault::Stale);
        let met: Vec<_> = (0..6).map(|_| faults.meet(Point::Submit)).collect();
        let stale = Some(Fault::Stale);
        assert_eq!(met, [None, None, stale, stale, None, None]);
        assert_eq!(faults.meet(Point::Map), None);
        assert_eq!((faults.met(Point::Submit), faults.met(Point::Map)), (6, 1));
    }
}
