//! The quota on made-up file systems.

use super::quota_from;

const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

/// The quota when exactly these files exist.
fn quota(files: &[(&str, &str)]) -> Option<usize> {
    quota_from(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
}

#[test]
fn none_without_control_groups() {
    assert_eq!(quota(&[]), None);
    assert_eq!(quota(&[("/proc/self/cgroup", "0::/\n"), ("/proc/self/mountinfo", "")]), None);
}

#[test]
fn version_2_own_group_rounds_up() {
    let with = |max| {
        quota(&[("/proc/self/cgroup", "0::/app\n"), ("/proc/self/mountinfo", V2), ("/sys/fs/cgroup/app/cpu.max", max)])
    };
    assert_eq!(with("max 100000\n"), None);
    assert_eq!(with("300000 100000\n"), Some(3));
    assert_eq!(with("250000 100000\n"), Some(3));
    assert_eq!(with("1000 100000\n"), Some(1));
    assert_eq!(with("0 100000\n"), None);
    assert_eq!(with("nonsense\n"), None);
}

#[test]
fn version_2_tightest_ancestor_counts() {
    let files = [
        ("/proc/self/cgroup", "0::/a/b/c\n"),
        ("/proc/self/mountinfo", V2),
        ("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"),
        ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ("/sys/fs/cgroup/a/cpu.max", "400000 100000\n"),
    ];
    assert_eq!(quota(&files), Some(4));
}

#[test]
fn version_2_inside_a_container() {
    // Without a namespace of its own the path leads from the host's root, the mount shows a part of it.
    let bind = "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    let root = |path| {
        quota(&[
            ("/proc/self/cgroup", path),
            ("/proc/self/mountinfo", bind),
            ("/sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ])
    };
    assert_eq!(root("0::/docker/abc\n"), Some(2));
    assert_eq!(root("0::/docker/abcdef\n"), Some(2));
    assert_eq!(root("0::/../elsewhere\n"), Some(2));
    assert_eq!(root("1:name=systemd:/docker/abc\n"), None);
}

#[test]
fn version_1_cpu_controller() {
    let mounts = "40 30 0:30 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  41 30 0:31 / /cg/memory rw - cgroup cgroup rw,memory\n\
                  42 30 0:32 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n";
    let with = |outer| {
        quota(&[
            ("/proc/self/cgroup", "4:memory:/x\n3:cpuset:/\n2:cpu,cpuacct:/x/y\n0::/\n"),
            ("/proc/self/mountinfo", mounts),
            ("/cg/cpu,cpuacct/x/y/cpu.cfs_quota_us", "-1\n"),
            ("/cg/cpu,cpuacct/x/y/cpu.cfs_period_us", "100000\n"),
            ("/cg/cpu,cpuacct/x/cpu.cfs_quota_us", outer),
            ("/cg/cpu,cpuacct/x/cpu.cfs_period_us", "50000\n"),
        ])
    };
    assert_eq!(with("350000\n"), Some(7));
    assert_eq!(with("-1\n"), None);
}

#[test]
fn mount_points_with_spaces() {
    let files = [
        ("/proc/self/cgroup", "0::/\n"),
        ("/proc/self/mountinfo", "31 23 0:28 / /my\\040groups rw - cgroup2 cgroup2 rw\n"),
        ("/my groups/cpu.max", "500000 100000\n"),
    ];
    assert_eq!(quota(&files), Some(5));
}
