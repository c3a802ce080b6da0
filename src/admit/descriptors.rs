//! Living with few file descriptors: telling when they run out, and warning before they do.

use std::{io, sync::Mutex, time::Duration};

use tokio::time::Instant;

/// `EMFILE` and `ENFILE`, the same on every Linux.
const PROCESS_IS_FULL: i32 = 24;
const SYSTEM_IS_FULL: i32 = 23;

/// How long accepting rests once there are none left: requests at work end meanwhile and give
/// theirs back.
pub const REST: Duration = Duration::from_millis(50);
/// The shortest time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Whether the process or the machine has no file descriptor left.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(PROCESS_IS_FULL | SYSTEM_IS_FULL))
}

/// Warns, but not each time.
#[derive(Debug, Default)]
pub struct Alarm(Mutex<Option<Instant>>);

impl Alarm {
    /// Whether it is time to warn again.
    pub fn is_due(&self, now: Instant) -> bool {
        // Whoever holds the lock is warning.
        let Ok(mut last) = self.0.try_lock() else {
            return false;
        };
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= WARN_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }

    pub fn exhausted(&self, error: &dyn std::fmt::Display) {
        if self.is_due(Instant::now()) {
            tracing::warn!(
                %error,
                "no file descriptor left: new connections wait; raise the limit (`ulimit -n`, LimitNOFILE=) or lower data_plane.connections"
            );
        }
    }
}

/// The soft limit of open files, from the text of `/proc/self/limits`; `None`: unlimited, or
/// nothing can be told.
pub fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find(|l| l.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Kept from callers' connections, where there are few descriptors: for calls to regions and the
/// ledger's next file.
const SPARED: u64 = 32;
/// Connections of a listener beside the data plane's, `[admin]` or `[probes]`.
const BESIDE_CALLERS: u64 = 64;
/// Such listeners.
const LISTENERS: u64 = 2;
/// What a router opens once its callers come, for each worker and beside.
const PER_WORKER: u64 = 5;
const BESIDE_WORKERS: u64 = 8;

/// How many connections of callers there is room for, before `workers` have begun and while the
/// process has `open` descriptors.
pub fn room(soft_limit: u64, open: u64, workers: usize) -> usize {
    let workers = u64::try_from(workers).unwrap_or(u64::MAX);
    let own = workers.saturating_mul(PER_WORKER) + BESIDE_WORKERS;
    let left = soft_limit.saturating_sub(open.saturating_add(own));
    // Some connection must get in, however few there are.
    let spared = SPARED + LISTENERS * beside(soft_limit);
    let room = left.saturating_sub(spared.min(left / 2)).max(1);
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// How many connections `[admin]` and `[probes]` have each: 64, fewer where there are few descriptors.
fn beside(soft_limit: u64) -> u64 {
    BESIDE_CALLERS.min(soft_limit / 16).max(4)
}

/// [`beside`] of this process.
pub fn beside_callers() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = soft_limit(&limits).map_or(BESIDE_CALLERS, beside);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// [`room`] of this process; no bound where nothing can be told.
pub fn room_now(workers: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    match (soft_limit(&limits), open) {
        (Some(limit), Ok(open)) => room(limit, u64::try_from(open).unwrap_or(u64::MAX), workers),
        _ => usize::MAX,
    }
}

/// Descriptors that the settings may come to use: a caller's connection each, and for each
/// request at work one to a region, those of `[admin]` and `[probes]`, a few beside.
pub fn needed(connections: usize, workers: usize, concurrent_requests: usize) -> u64 {
    const BESIDE: usize = 64;
    let upstream = workers.saturating_mul(concurrent_requests);
    let all = connections.saturating_add(upstream).saturating_add(BESIDE);
    let all = u64::try_from(all).unwrap_or(u64::MAX);
    all.saturating_add(LISTENERS * BESIDE_CALLERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read_where_there_is_one() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit(&text.replace("1024 ", "unlimited ")), None);
        assert_eq!(soft_limit("nothing"), None);
        assert_eq!(needed(16_384, 4, 1024), 16_384 + 4096 + 64 + 128);
    }

    #[test]
    fn callers_leave_some_to_everybody_else() {
        assert_eq!(room(20_000, 20, 4), 20_000 - 20 - 28 - 32 - 128);
        assert_eq!(room(64, 15, 1), 18);
        assert_eq!(room(30, 20, 1), 1);
        assert_eq!(room(30, 200, 1), 1);
        assert!(room_now(1) > 0);
    }

    #[test]
    fn one_warning_a_minute() {
        let alarm = Alarm::default();
        let now = Instant::now();
        assert!(alarm.is_due(now));
        assert!(!alarm.is_due(now + Duration::from_secs(59)));
        assert!(alarm.is_due(now + Duration::from_secs(60)));
    }

    #[test]
    fn only_a_lack_of_descriptors_is_one() {
        assert!(is_exhausted(&io::Error::from_raw_os_error(24)));
        assert!(is_exhausted(&io::Error::from_raw_os_error(23)));
        assert!(!is_exhausted(&io::Error::from_raw_os_error(111)));
    }
}
