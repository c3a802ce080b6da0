//! The children of labelled metrics that one worker uses, found once.
//!
//! `with_label_values` hashes its labels and takes a lock that all workers share; two or three a
//! request cost more than what they measure. A worker meets few combinations, so a short list does.

use std::{cell::RefCell, sync::Arc};

use prometheus::{Histogram, IntCounter};

use super::Metrics;

/// Combinations kept before all are forgotten: reloads leave old ones behind.
const KEPT: usize = 64;

pub struct Handles {
    metrics: Metrics,
    answers: RefCell<Vec<(Answer, Histogram)>>,
    calls: RefCell<Vec<(Call, IntCounter, Histogram)>>,
}

/// Of an answer to a caller.
struct Answer {
    method: &'static str,
    status: u16,
    route: Option<Arc<str>>,
}

/// Of a call of a region.
struct Call {
    region: Arc<str>,
    route: Option<Arc<str>>,
    outcome: &'static str,
}

impl Handles {
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            answers: RefCell::default(),
            calls: RefCell::default(),
        }
    }

    /// One request was answered.
    pub fn answered(
        &self,
        method: &'static str,
        status: http::StatusCode,
        route: Option<&Arc<str>>,
        seconds: f64,
    ) {
        let mut known = self.answers.borrow_mut();
        let found = known.iter().find(|(a, _)| {
            a.status == status.as_u16() && a.method == method && is_same(a.route.as_ref(), route)
        });
        if let Some((_, histogram)) = found {
            histogram.observe(seconds);
            return;
        }
        let labels = [method, status.as_str(), route.map_or("none", |r| r)];
        let histogram = self.metrics.http_duration.with_label_values(&labels);
        histogram.observe(seconds);
        if known.len() >= KEPT {
            known.clear();
        }
        let answer = Answer {
            method,
            status: status.as_u16(),
            route: route.cloned(),
        };
        known.push((answer, histogram));
    }

    /// A region was called, and gave the head of an answer or failed after so many seconds.
    pub fn called(
        &self,
        region: &Arc<str>,
        route: Option<&Arc<str>>,
        outcome: &'static str,
        seconds: f64,
    ) {
        let mut known = self.calls.borrow_mut();
        let found = known.iter().find(|(c, ..)| {
            Arc::ptr_eq(&c.region, region)
                && c.outcome == outcome
                && is_same(c.route.as_ref(), route)
        });
        if let Some((_, count, histogram)) = found {
            count.inc();
            histogram.observe(seconds);
            return;
        }
        let requests = &self.metrics.upstream_requests;
        let count = requests.with_label_values(&[region.as_ref(), outcome]);
        let labels = [region.as_ref(), route.map_or("none", |r| r)];
        let histogram = self.metrics.upstream_seconds.with_label_values(&labels);
        count.inc();
        histogram.observe(seconds);
        if known.len() >= KEPT {
            known.clear();
        }
        let call = Call {
            region: Arc::clone(region),
            route: route.cloned(),
            outcome,
        };
        known.push((call, count, histogram));
    }
}

fn is_same(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_combination_counts_for_itself_however_many_there_are() {
        let metrics = Metrics::new().unwrap();
        let handles = Handles::new(metrics.clone());
        let routes: Vec<Arc<str>> = (0..KEPT + 9).map(|i| format!("r{i}").into()).collect();
        for _ in 0..2 {
            for route in &routes {
                handles.answered("GET", StatusCode::OK, Some(route), 0.1);
            }
            handles.answered("GET", StatusCode::OK, None, 0.1);
            handles.answered("PUT", StatusCode::OK, None, 0.1);
            handles.answered("GET", StatusCode::NOT_FOUND, None, 0.1);
        }
        let eu: Arc<str> = "eu".into();
        let (one, other) = (routes.first(), routes.last());
        handles.called(&eu, one, "answered", 0.1);
        handles.called(&eu, other, "answered", 0.1);
        handles.called(&eu, one, "timeout", 0.1);
        let seconds = |labels: &[&str]| {
            let child = metrics.upstream_seconds.with_label_values(labels);
            child.get_sample_count()
        };
        assert_eq!(
            (seconds(&["eu", "r0"]), seconds(&["eu", other.unwrap()])),
            (2, 1)
        );
        let count = |labels: &[&str]| {
            let child = metrics.http_duration.with_label_values(labels);
            child.get_sample_count()
        };
        assert_eq!(count(&["GET", "200", "r0"]), 2);
        assert_eq!(count(&["GET", "200", "r70"]), 2);
        assert_eq!(count(&["GET", "200", "none"]), 2);
        assert_eq!(count(&["PUT", "200", "none"]), 2);
        assert_eq!(count(&["GET", "404", "none"]), 2);
        let calls = |outcome| {
            metrics
                .upstream_requests
                .with_label_values(&["eu", outcome])
                .get()
        };
        assert_eq!((calls("answered"), calls("timeout")), (2, 1));
    }
}
