use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::Endpoint;
use crate::settings::{HealthCheck, RegionSettings};

/// Failures in a row that put an endpoint aside.
const EJECT_AFTER: u32 = 3;
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// What the workers know of the endpoints' health, shared so that one worker's discovery spares
/// the others the same. Written on failures and recoveries only; a healthy request just reads.
#[derive(Debug)]
pub struct SharedHealth {
    /// All times below count milliseconds from here.
    base: Instant,
    regions: Vec<(Arc<str>, Vec<Arc<EndpointHealth>>)>,
}

/// One endpoint, for the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointReport {
    pub region: Arc<str>,
    /// `host:port`.
    pub endpoint: Arc<str>,
    pub state: EndpointState,
    pub failures_in_a_row: u32,
    /// What active checks say; `None` where there are none, or not enough yet.
    pub checked: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    Healthy,
    /// Put aside; tried only when no other endpoint is left.
    Ejected {
        retry_in: Duration,
    },
    /// Its time aside is over: the next request tries it.
    Due,
}

impl SharedHealth {
    /// All endpoints healthy.
    pub fn new(regions: &[RegionSettings]) -> Self {
        Self::build(Instant::now(), regions, |_, _| None)
    }

    /// For the next snapshot: what is known of endpoints that stay is kept.
    #[must_use]
    pub fn renewed(&self, regions: &[RegionSettings]) -> Self {
        Self::build(self.base, regions, |region, endpoint| {
            self.find(region, endpoint)
        })
    }

    fn build(
        base: Instant,
        regions: &[RegionSettings],
        known: impl Fn(&str, &str) -> Option<Arc<EndpointHealth>>,
    ) -> Self {
        let regions = regions.iter().map(|region| {
            let names = region.endpoints.iter().filter_map(|uri| uri.authority());
            let endpoints = names.map(|name| {
                known(&region.name, name.as_str()).unwrap_or_else(|| {
                    Arc::new(EndpointHealth::new(
                        Arc::clone(&region.name),
                        name.as_str().into(),
                        base,
                    ))
                })
            });
            (Arc::clone(&region.name), endpoints.collect())
        });
        Self {
            base,
            regions: regions.collect(),
        }
    }

    pub fn report(&self) -> Vec<EndpointReport> {
        self.regions
            .iter()
            .flat_map(|(region, endpoints)| {
                endpoints.iter().map(|e| EndpointReport {
                    region: Arc::clone(region),
                    endpoint: Arc::clone(&e.endpoint),
                    state: e.state(),
                    failures_in_a_row: e.failures.load(Relaxed),
                    checked: e.checked(),
                })
            })
            .collect()
    }

    /// Whether some endpoint of the region is not put aside; `None` for a name it does not know.
    pub fn is_region_up(&self, region: &str) -> Option<bool> {
        let (_, endpoints) = self.regions.iter().find(|(n, _)| n.as_ref() == region)?;
        Some(
            endpoints
                .iter()
                .any(|e| e.state() == EndpointState::Healthy),
        )
    }

    /// What an active check found; as many of a kind in a row as `settings` say turn the endpoint.
    pub fn checked(&self, region: &str, endpoint: &str, settings: &HealthCheck, good: bool) {
        if let Some(endpoint) = self.find(region, endpoint) {
            endpoint.was_checked(settings, good);
        }
    }

    /// The endpoint is not checked any more.
    pub fn forget_checks(&self, region: &str, endpoint: &str) {
        if let Some(endpoint) = self.find(region, endpoint) {
            endpoint.verdict.store(UNCHECKED, Relaxed);
            endpoint.streak.store(0, Relaxed);
        }
    }

    pub(super) fn endpoint(&self, region: &str, endpoint: &Endpoint) -> Arc<EndpointHealth> {
        let name = endpoint.name();
        self.find(region, name).unwrap_or_else(|| {
            Arc::new(EndpointHealth::new(
                region.into(),
                Arc::clone(name),
                self.base,
            ))
        })
    }

    pub(super) fn find(&self, region: &str, endpoint: &str) -> Option<Arc<EndpointHealth>> {
        self.regions
            .iter()
            .filter(|(name, _)| name.as_ref() == region)
            .flat_map(|(_, endpoints)| endpoints)
            .find(|e| e.endpoint.as_ref() == endpoint)
            .cloned()
    }
}

#[derive(Debug)]
pub(super) struct EndpointHealth {
    region: Arc<str>,
    endpoint: Arc<str>,
    base: Instant,
    /// Failures in a row.
    failures: AtomicU32,
    /// Put aside until this many milliseconds after `base`; 0: not aside.
    aside_until: AtomicU64,
    /// A request tries it while it is aside: the next failure is that one's.
    on_trial: AtomicBool,
    /// Of active checks. Apart from the passive kind, of which no check that succeeds may make
    /// light: a server can pass for healthy and fail every request.
    verdict: AtomicU8,
    /// Checks in a row that contradict the verdict. Written by one thread alone.
    streak: AtomicU32,
}

const UNCHECKED: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl EndpointHealth {
    fn new(region: Arc<str>, endpoint: Arc<str>, base: Instant) -> Self {
        Self {
            region,
            endpoint,
            base,
            failures: AtomicU32::new(0),
            aside_until: AtomicU64::new(0),
            on_trial: AtomicBool::new(false),
            verdict: AtomicU8::new(UNCHECKED),
            streak: AtomicU32::new(0),
        }
    }

    fn checked(&self) -> Option<bool> {
        match self.verdict.load(Relaxed) {
            UP => Some(true),
            DOWN => Some(false),
            _ => None,
        }
    }

    fn was_checked(&self, settings: &HealthCheck, good: bool) {
        let verdict = self.verdict.load(Relaxed);
        if verdict == if good { UP } else { DOWN } {
            self.streak.store(0, Relaxed);
            return;
        }
        if good && verdict == UNCHECKED {
            self.verdict.store(UP, Relaxed);
            self.streak.store(0, Relaxed);
            return;
        }
        let streak = self.streak.load(Relaxed).saturating_add(1);
        let (needed, next) = match good {
            true => (settings.healthy, UP),
            false => (settings.unhealthy, DOWN),
        };
        if streak < needed {
            self.streak.store(streak, Relaxed);
            return;
        }
        self.verdict.store(next, Relaxed);
        self.streak.store(0, Relaxed);
        match good {
            true => {
                tracing::info!(region = &*self.region, endpoint = %self.endpoint, "endpoint passes its checks again")
            }
            false => {
                tracing::warn!(region = &*self.region, endpoint = %self.endpoint, "endpoint fails its checks")
            }
        }
    }

    pub(super) fn state(&self) -> EndpointState {
        match self.aside_until.load(Relaxed) {
            // Behind all others that are aside: of those, some may work again.
            _ if self.verdict.load(Relaxed) == DOWN => EndpointState::Ejected {
                retry_in: Duration::MAX,
            },
            0 => EndpointState::Healthy,
            until => match until.saturating_sub(self.now()) {
                0 => EndpointState::Due,
                left => EndpointState::Ejected {
                    retry_in: Duration::from_millis(left),
                },
            },
        }
    }

    /// Which of endpoints that are put aside is tried first, the least: one that passes its checks,
    /// or has none, before one that fails them; of these, one that has served so far before one
    /// that has not, and of those the one due soonest. Checks that fail everywhere say less about
    /// the servers than about the checks.
    pub(super) fn rank(&self) -> (bool, Duration) {
        let until = self.aside_until.load(Relaxed);
        let wait = match until {
            0 => 0,
            until => until.saturating_sub(self.now()).saturating_add(1),
        };
        let fails_checks = self.verdict.load(Relaxed) == DOWN;
        (fails_checks, Duration::from_millis(wait))
    }

    /// The endpoint answered to the end, or for long, with a status that says nothing bad of it.
    pub(super) fn succeeded(&self) {
        // Aside without failures: another worker's third came between the two stores of this.
        if self.failures.load(Relaxed) != 0 || self.aside_until.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.on_trial.store(false, Relaxed);
            if self.aside_until.swap(0, Relaxed) != 0 {
                tracing::info!(region = &*self.region, endpoint = %self.endpoint, "endpoint works again");
            }
        }
    }

    /// No connection, no answer in time, a broken connection, or garbage: `why` says which, to the log.
    pub(super) fn failed(&self, why: &dyn fmt::Display) {
        if let Some(failures) = self.fail() {
            tracing::warn!(region = &*self.region, endpoint = %self.endpoint, failures, %why, "endpoint put aside");
        }
    }

    /// It answered, or refused a stream, in a way that says that it is in trouble. `can_be_spared`:
    /// others serve; then this counts like a failure. Else no endpoint is put aside for it, nor kept
    /// aside, and it takes one such answer more, or a failure, as soon as others serve.
    #[cold]
    pub(super) fn is_in_trouble(&self, can_be_spared: bool) {
        if can_be_spared {
            if let Some(failures) = self.fail() {
                tracing::warn!(region = &*self.region, endpoint = %self.endpoint, failures, "endpoint put aside for what it answers");
            }
            return;
        }
        let held = |failures: u32| Some(failures.saturating_add(1).min(EJECT_AFTER - 1));
        // The closure never declines.
        let _ = self.failures.fetch_update(Relaxed, Relaxed, held);
        if self.aside_until.swap(0, Relaxed) != 0 {
            tracing::info!(region = &*self.region, endpoint = %self.endpoint, "endpoint taken back: it answers, and no other serves");
        }
    }

    /// Whether it is not put aside, and its last answer was good.
    pub(super) fn serves(&self) -> bool {
        self.failures.load(Relaxed) == 0 && self.state() == EndpointState::Healthy
    }

    /// Counts a failure; how many they are in a row, if that puts the endpoint aside. While it is
    /// aside only its trial counts: others were at work in it before, or try it for want of a better
    /// one, and many that fail together say no more than one.
    fn fail(&self) -> Option<u32> {
        let seen = self.aside_until.load(Relaxed);
        let now = self.now();
        if seen > now && !self.on_trial.swap(false, Relaxed) {
            return None;
        }
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures < EJECT_AFTER {
            return None;
        }
        let until = now.saturating_add(back_off(failures)).max(1);
        self.on_trial.store(false, Relaxed);
        // Another worker's may have come first.
        let put = self
            .aside_until
            .compare_exchange(seen, until, Relaxed, Relaxed);
        (seen == 0 && put.is_ok()).then_some(failures)
    }

    /// Claims the one trial of a `Due` endpoint; false when another request has it.
    pub(super) fn begin_trial(&self) -> bool {
        let seen = self.aside_until.load(Relaxed);
        let now = self.now();
        if seen == 0 || seen > now {
            return false;
        }
        let next = now.saturating_add(back_off(self.failures.load(Relaxed)));
        let is_mine = self
            .aside_until
            .compare_exchange(seen, next.max(1), Relaxed, Relaxed)
            .is_ok();
        if is_mine {
            self.on_trial.store(true, Relaxed);
        }
        is_mine
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[cfg(test)]
    pub(super) fn end_time_aside(&self) {
        // The base may be younger than a millisecond: 1 would still be ahead.
        while self.now() < 2 {
            std::hint::spin_loop();
        }
        self.aside_until.store(1, Relaxed);
    }
}

/// Milliseconds aside after this many failures in a row: doubles from one second to thirty.
fn back_off(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(EJECT_AFTER).min(16);
    let longest = u64::try_from(LONGEST_BACK_OFF.as_millis()).unwrap_or(u64::MAX);
    let first = u64::try_from(FIRST_BACK_OFF.as_millis()).unwrap_or(u64::MAX);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> EndpointHealth {
        EndpointHealth::new("eu".into(), "a:1".into(), Instant::now())
    }

    fn checks() -> HealthCheck {
        HealthCheck {
            path: "/healthz".parse().unwrap(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
        }
    }

    #[test]
    fn a_failure_between_the_stores_of_a_success_is_forgiven_by_the_next() {
        let h = health();
        (0..3).for_each(|_| h.failed(&"it is a test"));
        h.failures.store(0, Relaxed);
        h.succeeded();
        assert_eq!(h.state(), EndpointState::Healthy);
    }

    #[test]
    fn three_failures_in_a_row_eject_and_one_answer_forgives() {
        let h = health();
        h.failed(&"it is a test");
        h.failed(&"it is a test");
        h.succeeded();
        h.failed(&"it is a test");
        h.failed(&"it is a test");
        assert_eq!(h.state(), EndpointState::Healthy);
        h.failed(&"it is a test");
        assert!(matches!(h.state(), EndpointState::Ejected { .. }));
        h.succeeded();
        assert_eq!(h.state(), EndpointState::Healthy);
    }

    fn time_aside(h: &EndpointHealth) -> Duration {
        match h.state() {
            EndpointState::Ejected { retry_in } => retry_in,
            EndpointState::Healthy | EndpointState::Due => Duration::ZERO,
        }
    }

    /// Sixteen requests were at work in it when it went.
    #[test]
    fn requests_that_fail_together_put_an_endpoint_aside_for_one_time_and_not_for_many() {
        let h = health();
        (0..16).for_each(|_| h.failed(&"it is a test"));
        assert!(time_aside(&h) <= FIRST_BACK_OFF, "{:?}", time_aside(&h));
        // Its one trial, and those that were late.
        h.end_time_aside();
        assert!(h.begin_trial());
        (0..16).for_each(|_| h.failed(&"it is a test"));
        assert!(time_aside(&h) > FIRST_BACK_OFF);
        assert!(time_aside(&h) <= 2 * FIRST_BACK_OFF, "{:?}", time_aside(&h));
        // Where all are aside it is tried all the same, by many.
        h.end_time_aside();
        (0..16).for_each(|_| h.failed(&"it is a test"));
        assert!(time_aside(&h) > 2 * FIRST_BACK_OFF);
        assert!(time_aside(&h) <= 4 * FIRST_BACK_OFF, "{:?}", time_aside(&h));
        h.succeeded();
        h.failed(&"it is a test");
        assert_eq!(h.state(), EndpointState::Healthy, "it counts anew");
    }

    #[test]
    fn bad_answers_eject_while_others_serve_and_none_otherwise() {
        let h = health();
        (0..10).for_each(|_| h.is_in_trouble(false));
        assert_eq!(h.state(), EndpointState::Healthy, "no other serves");
        assert!(!h.serves(), "it is no better than others");
        h.is_in_trouble(true);
        assert!(matches!(h.state(), EndpointState::Ejected { .. }));
        // Each trial that ends so doubles the time.
        h.end_time_aside();
        h.is_in_trouble(true);
        let EndpointState::Ejected { retry_in } = h.state() else {
            panic!("not aside");
        };
        assert!(retry_in > FIRST_BACK_OFF);
        h.is_in_trouble(false);
        assert_eq!(h.state(), EndpointState::Healthy, "now it is the last");
        h.succeeded();
        assert!(h.serves());
        (0..2).for_each(|_| h.is_in_trouble(true));
        h.succeeded();
        (0..2).for_each(|_| h.is_in_trouble(true));
        assert_eq!(h.state(), EndpointState::Healthy, "not in a row");
    }

    #[test]
    fn checks_turn_an_endpoint_only_in_a_row_and_a_passed_check_forgives_no_failure() {
        let settings = checks();
        let h = health();
        let check = |results: &[bool]| {
            results
                .iter()
                .for_each(|good| h.was_checked(&settings, *good));
            h.checked()
        };
        assert_eq!(check(&[false, false]), None, "never checked: good");
        assert_eq!(h.state(), EndpointState::Healthy);
        assert_eq!(check(&[true]), Some(true));
        assert_eq!(check(&[false, false, true, false, false]), Some(true));
        assert_eq!(check(&[false]), Some(false));
        h.succeeded();
        assert!(matches!(h.state(), EndpointState::Ejected { .. }));
        assert!(!h.begin_trial());
        assert_eq!(check(&[true, false, true]), Some(false));
        assert_eq!(check(&[true]), Some(true));
        assert_eq!(h.state(), EndpointState::Healthy);
        (0..3).for_each(|_| h.failed(&"it is a test"));
        check(&[true, true, true]);
        assert!(matches!(h.state(), EndpointState::Ejected { .. }));
    }

    #[test]
    fn a_due_endpoint_has_one_trial() {
        let h = health();
        (0..3).for_each(|_| h.failed(&"it is a test"));
        assert!(!h.begin_trial(), "its time is not over");
        h.end_time_aside();
        assert_eq!(h.state(), EndpointState::Due);
        assert!(h.begin_trial());
        assert!(!h.begin_trial(), "another request is trying it");
    }

    #[test]
    fn where_all_fail_their_checks_the_one_that_serves_is_tried_first() {
        let settings = checks();
        let [serves, hangs, due, passes] = [(); 4].map(|()| health());
        for endpoint in [&serves, &hangs, &due] {
            (0..3).for_each(|_| endpoint.was_checked(&settings, false));
            assert!(matches!(endpoint.state(), EndpointState::Ejected { .. }));
        }
        for endpoint in [&hangs, &due, &passes] {
            (0..3).for_each(|_| endpoint.failed(&"it is a test"));
        }
        due.end_time_aside();
        let ranks = [&passes, &serves, &due, &hangs].map(EndpointHealth::rank);
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        assert_eq!(health().rank(), (false, Duration::ZERO));
    }

    #[test]
    fn time_aside_grows_to_thirty_seconds() {
        assert_eq!(back_off(3), 1_000);
        assert_eq!(back_off(5), 4_000);
        assert_eq!(back_off(u32::MAX), 30_000);
    }
}
