//! How much memory the process may use.

use std::path::Path;

/// The least of what its control groups (those above its own, too) and the machine allow, in bytes;
/// `None` if nothing is known.
pub(super) fn memory() -> Option<usize> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_memory(&text));
    group_limit(&groups, Path::new("/sys/fs/cgroup"))
        .into_iter()
        .chain(machine)
        .min()
}

/// The least limit on the way from the process's group to the root, of version 2 and of the memory
/// controller of version 1. Where only a part of the tree is mounted (a container), its root is the
/// group: so the root is always asked.
fn group_limit(groups: &str, mounted: &Path) -> Option<usize> {
    let of_group = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        if controllers.is_empty() {
            Some((mounted.to_owned(), "memory.max", path.to_owned()))
        } else if controllers.split(',').any(|c| c == "memory") {
            let root = mounted.join("memory");
            Some((root, "memory.limit_in_bytes", path.to_owned()))
        } else {
            None
        }
    };
    let limits = groups.lines().filter_map(of_group);
    let limits = limits.flat_map(|(root, file, path)| {
        let inner = Path::new(path.trim_start_matches('/'));
        let folders: Vec<_> = inner.ancestors().map(|part| root.join(part)).collect();
        folders.into_iter().filter_map(move |folder| {
            // `max`, and the huge number of version 1, are no limit.
            read(&folder.join(file))?.trim().parse().ok()
        })
    });
    limits.min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find(|l| l.starts_with("MemTotal:"))?;
    let kibibytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_machine_is_read() {
        assert_eq!(total_memory("MemTotal:  2048 kB\n"), Some(2 << 20));
        assert!(memory().unwrap() > 1 << 20);
    }

    #[test]
    fn the_least_limit_on_the_way_to_the_root_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path();
        let put = |file: &str, text: &str| {
            let file = mounted.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(group_limit("0::/pod/router\n", mounted), None);
        put("pod/router/memory.max", "max\n");
        assert_eq!(group_limit("0::/pod/router\n", mounted), None);
        put("pod/memory.max", "536870912\n");
        assert_eq!(group_limit("0::/pod/router\n", mounted), Some(512 << 20));
        put("pod/router/memory.max", "268435456\n");
        assert_eq!(group_limit("0::/pod/router\n", mounted), Some(256 << 20));
        assert_eq!(group_limit("0::/other\n", mounted), None);

        let one = "4:memory:/kubepods/router\n2:cpu,cpuacct:/kubepods\n0::/\n";
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(group_limit(one, mounted), Some(9_223_372_036_854_771_712));
        put(
            "memory/kubepods/router/memory.limit_in_bytes",
            "314572800\n",
        );
        assert_eq!(group_limit(one, mounted), Some(300 << 20));
        // In a container: its own group is all that is mounted, under another name.
        put("memory/memory.limit_in_bytes", "104857600\n");
        assert_eq!(
            group_limit("4:memory:/elsewhere\n", mounted),
            Some(100 << 20)
        );
        put("memory.max", "52428800\n");
        assert_eq!(group_limit("0::/elsewhere\n", mounted), Some(50 << 20));
    }
}
