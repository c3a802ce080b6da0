//! Every metric of the router, in one place. Label values come only from settings and policy,
//! never from traffic.

use std::sync::Arc;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::{decided::DecidedMetrics, ledger::LedgerMetrics, workers::WorkerMetrics};
use crate::domain::{EvidenceKind, EvidenceSet};

/// Seconds; from what a loopback hop costs to the limits on a backend.
const DURATIONS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds; a decision is a matter of microseconds.
const DECISIONS: &[f64] = &[
    1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 1e-2,
];

/// Handles to all metrics; cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// `outcome`, `operation`, `law` (the most demanding), `to` (region), `mechanism`.
    pub decisions: IntCounterVec,
    pub decided: DecidedMetrics,
    pub decision_seconds: Histogram,
    /// `rule` (under observation).
    pub observed_disagreements: IntCounterVec,
    evidence: [IntCounter; 7],
    pub ledger_entries: IntGauge,
    pub ledger_bytes: IntGauge,
    pub ledger_segments: IntGauge,
    pub ledger_queued: IntGauge,
    pub ledger_failing: IntGauge,
    pub ledger_commits: IntGauge,
    pub ledger: LedgerMetrics,
    pub directory_pins: IntGauge,
    /// `store` (`pins`, `counters`, `consents`, `erasures`).
    pub store_failing: IntGaugeVec,
    pub erasures_open: IntGauge,
    pub instrument_expiry: GaugeVec,
    pub threshold_subjects: IntGaugeVec,
    /// `law`, `rule`, `counter`, `limit`; one for each edge.
    pub threshold_share: GaugeVec,
    /// `region`, `outcome` (`answered`, `server-error`, or the name of the problem that callers get).
    pub upstream_requests: IntCounterVec,
    /// `region`, `http_route`.
    pub upstream_seconds: HistogramVec,
    /// `region`, `endpoint` (`host:port` of the settings).
    pub endpoint_up: IntGaugeVec,
    /// `region`; copied from the workers' own counts.
    pub upstream_retries: IntCounterVec,
    /// `region`; copied likewise.
    pub upstream_unretried: IntCounterVec,
    /// `digest`.
    pub policy_info: IntGaugeVec,
    /// `digest`.
    pub settings_info: IntGaugeVec,
    /// `result` (`swapped`, `unchanged`, `refused`).
    pub reloads: IntCounterVec,
    pub reload_failing: IntGauge,
    pub geoip_age: Gauge,
    /// `file` (as the settings name it).
    pub certificate_expiry: GaugeVec,
    /// `file`, likewise.
    pub certificate_lifetime: GaugeVec,
    /// `result` (`swapped`, `refused`).
    pub tls_reloads: IntCounterVec,
    pub tls_reload_failing: IntGauge,
    /// `result` (`done`, `failed`, `late`, `plain`, `pushed-out`).
    pub tls_handshakes: IntCounterVec,
    /// OpenTelemetry's `http.server.request.duration`.
    pub http_duration: HistogramVec,
    pub http_active: IntGauge,
    pub connections: IntGauge,
    pub refused_connections: IntCounter,
    /// `reason` (the problem's name): requests of which nothing beyond the head was looked at.
    pub refused_heads: IntCounterVec,
    pub body_bytes: IntGauge,
    pub body_bytes_limit: IntGauge,
    pub access_log_lost: IntCounter,
    pub log_lost: IntCounter,
    /// `outcome` (`exported`, `dropped`, `failed`).
    pub otlp_spans: IntCounterVec,
    pub workers: WorkerMetrics,
}

impl Metrics {
    /// A fresh set in a registry of its own.
    ///
    /// # Errors
    /// Two metrics of one name, or a malformed name: a fault of this file, found by its test.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let evidence = counters(
            r,
            "domicile_evidence_total",
            "records for which a kind of evidence of the person's country was found",
            &["kind"],
        )?;
        let evidence = EvidenceKind::ALL.map(|k| evidence.with_label_values(&[k.as_str()]));
        let process = prometheus::process_collector::ProcessCollector::for_self();
        r.register(Box::new(process))?;
        Ok(Self {
            decisions: counters(
                r,
                "domicile_decisions_total",
                "decisions, by the most demanding law and the region concerned",
                &["outcome", "operation", "law", "to", "mechanism"],
            )?,
            decided: DecidedMetrics::new(r)?,
            decision_seconds: histogram(r, "domicile_decision_seconds", "time to decide")?,
            observed_disagreements: counters(
                r,
                "domicile_observed_disagreements_total",
                "decisions that a rule under observation would have turned",
                &["rule"],
            )?,
            evidence,
            ledger_entries: gauge(r, "domicile_ledger_entries", "entries in the ledger")?,
            ledger_bytes: gauge(r, "domicile_ledger_bytes", "size of the ledger on disk")?,
            ledger_segments: gauge(r, "domicile_ledger_segments", "segment files of the ledger")?,
            ledger_queued: gauge(
                r,
                "domicile_ledger_queued_entries",
                "entries that wait to be written",
            )?,
            ledger_failing: gauge(
                r,
                "domicile_ledger_failing",
                "1 while the ledger cannot be written and everything is refused",
            )?,
            ledger_commits: gauge(
                r,
                "domicile_ledger_commits",
                "group commits since the start",
            )?,
            ledger: LedgerMetrics::new(r)?,
            directory_pins: gauge(r, "domicile_directory_pins", "subjects with a pinned home")?,
            store_failing: register(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "domicile_store_failing",
                        "1 while a file in the directory's folder cannot be written",
                    ),
                    &["store"],
                )?,
            )?,
            erasures_open: gauge(
                r,
                "domicile_erasures_open",
                "records at one holder that are still to be erased",
            )?,
            instrument_expiry: gauges(
                r,
                "domicile_instrument_expiry_seconds",
                "seconds until an instrument ends or its assessment is due for review; negative once it has",
                &["instrument"],
            )?,
            threshold_subjects: {
                let opts = Opts::new(
                    "domicile_threshold_subjects",
                    "distinct people counted against a legal threshold",
                );
                register(r, IntGaugeVec::new(opts, &["law", "rule"])?)?
            },
            threshold_share: gauges(
                r,
                "domicile_threshold_share",
                "the count of people nearest to an edge of a rule, as a share of that edge",
                &["law", "rule", "counter", "limit"],
            )?,
            upstream_requests: counters(
                r,
                "domicile_upstream_requests_total",
                "requests to a region's backend",
                &["region", "outcome"],
            )?,
            upstream_seconds: durations(
                r,
                "domicile_upstream_seconds",
                "time to the head of a region's answer",
                &["region", "http_route"],
            )?,
            endpoint_up: {
                let opts = Opts::new(
                    "domicile_endpoint_up",
                    "1 for an endpoint that requests go to, 0 for one that is put aside",
                );
                register(r, IntGaugeVec::new(opts, &["region", "endpoint"])?)?
            },
            upstream_retries: counters(
                r,
                "domicile_upstream_retries_total",
                "requests to a region that were tried again",
                &["region"],
            )?,
            upstream_unretried: counters(
                r,
                "domicile_upstream_unretried_total",
                "requests to a region that were not tried again because too many had been",
                &["region"],
            )?,
            policy_info: {
                let opts = Opts::new("domicile_policy_info", "1 for the policy in force");
                register(r, IntGaugeVec::new(opts, &["digest"])?)?
            },
            settings_info: {
                let opts = Opts::new(
                    "domicile_settings_info",
                    "1 for the settings in force that decide",
                );
                register(r, IntGaugeVec::new(opts, &["digest"])?)?
            },
            reloads: counters(
                r,
                "domicile_reloads_total",
                "reloads by result",
                &["result"],
            )?,
            reload_failing: gauge(
                r,
                "domicile_reload_failing",
                "1 while the files on disk are broken and an older policy is in force",
            )?,
            geoip_age: {
                let gauge = Gauge::new(
                    "domicile_geoip_age_seconds",
                    "age of the GeoIP database, by the time it states itself",
                )?;
                register(r, gauge)?
            },
            certificate_expiry: gauges(
                r,
                "domicile_certificate_expiry_seconds",
                "seconds until a certificate of this router ends; negative once it has",
                &["file"],
            )?,
            certificate_lifetime: gauges(
                r,
                "domicile_certificate_lifetime_seconds",
                "seconds from the begin of a certificate of this router to its end",
                &["file"],
            )?,
            tls_reloads: {
                let reloads = counters(
                    r,
                    "domicile_tls_reloads_total",
                    "changes of certificates, keys, authorities and tokens on disk, by result",
                    &["result"],
                )?;
                for result in ["swapped", "refused"] {
                    let _ = reloads.with_label_values(&[result]);
                }
                reloads
            },
            tls_reload_failing: gauge(
                r,
                "domicile_tls_reload_failing",
                "certificates, authorities and tokens whose files are broken, so that older ones are in use",
            )?,
            tls_handshakes: counters(
                r,
                "domicile_tls_handshakes_total",
                "TLS handshakes of callers, by result",
                &["result"],
            )?,
            http_duration: durations(
                r,
                "http_server_request_duration_seconds",
                "duration of requests, up to the head of the answer",
                &[
                    "http_request_method",
                    "http_response_status_code",
                    "http_route",
                ],
            )?,
            http_active: gauge(r, "http_server_active_requests", "requests at work")?,
            connections: gauge(r, "domicile_connections", "open connections of callers")?,
            refused_connections: register(
                r,
                IntCounter::new(
                    "domicile_connections_refused_total",
                    "connections closed because there were `data_plane.connections` already",
                )?,
            )?,
            refused_heads: counters(
                r,
                "domicile_refused_heads_total",
                "requests whose head was not sound HTTP or beyond a limit, by the problem's name",
                &["reason"],
            )?,
            body_bytes: gauge(
                r,
                "domicile_body_bytes",
                "memory taken for callers' bodies, what workers take ahead included",
            )?,
            body_bytes_limit: gauge(
                r,
                "domicile_body_bytes_limit",
                "memory that callers' bodies may take; requests beyond get 503",
            )?,
            access_log_lost: register(
                r,
                IntCounter::new(
                    "domicile_access_log_lost_total",
                    "lines of the access log that were not written",
                )?,
            )?,
            log_lost: register(
                r,
                IntCounter::new(
                    "domicile_log_lost_total",
                    "lines of the operator's log that nobody read in time",
                )?,
            )?,
            otlp_spans: {
                let spans = counters(
                    r,
                    "domicile_otlp_spans_total",
                    "spans of traces: taken by the collector, dropped because the queue was full, or failed to be exported",
                    &["outcome"],
                )?;
                for outcome in ["exported", "dropped", "failed"] {
                    let _ = spans.with_label_values(&[outcome]);
                }
                spans
            },
            workers: WorkerMetrics::new(r)?,
            registry,
        })
    }

    pub fn evidence(&self, kinds: EvidenceSet) {
        self.evidence_of(1, kinds);
    }

    /// The same of so many records.
    pub fn evidence_of(&self, records: u64, kinds: EvidenceSet) {
        for (kind, counter) in EvidenceKind::ALL.into_iter().zip(&self.evidence) {
            if kinds.contains(kind) {
                counter.inc_by(records);
            }
        }
    }

    /// The text format that `GET /metrics` answers.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Metrics for code that runs without a router around it.
pub fn detached() -> Option<Arc<Metrics>> {
    Metrics::new().ok().map(Arc::new)
}

pub(super) fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn counters(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    register(r, GaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(r, IntGauge::new(name, help)?)
}

fn histogram(r: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(DECISIONS.to_vec());
    register(r, Histogram::with_opts(opts)?)
}

fn durations(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(DURATIONS.to_vec());
    register(r, HistogramVec::new(opts, labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_stand_and_evidence_counts_by_kind() {
        let metrics = Metrics::new().expect("names are sound and distinct");
        let mut kinds = EvidenceSet::EMPTY;
        kinds.insert(EvidenceKind::Phone);
        metrics.evidence(kinds);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(
            text.contains("domicile_evidence_total{kind=\"phone\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("domicile_evidence_total{kind=\"network\"} 0"),
            "{text}"
        );
        assert!(text.contains("process_open_fds"), "{text}");
    }
}
