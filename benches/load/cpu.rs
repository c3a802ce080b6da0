//! What processes have used, from `/proc`.

use std::fs;

/// Microseconds of CPU time, user and system, of these processes.
///
/// From `schedstat`, which counts nanoseconds; `stat` counts ticks of 10 ms. Threads that have
/// ended are not in it: proxies keep theirs.
pub fn spent(pids: &[u32]) -> f64 {
    pids.iter().flat_map(|pid| tasks(*pid)).sum::<f64>() / 1000.0
}

fn tasks(pid: u32) -> Vec<f64> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse().ok())
        .collect()
}

/// Bytes of resident memory.
pub fn resident(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map(|kib| kib * 1024)
        .sum()
}

/// A process and all its descendants.
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        let tasks = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(tasks).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|c| c.parse::<u32>().ok()),
        );
        next += 1;
    }
    all
}

/// The machine, for the head of the report.
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "{model}, {cores} cores, Linux {}, load {load}",
        kernel.trim()
    )
}
