//! The CPU quota of the control groups this process is in.
//!
//! **Where it sits.** Called by `linux.rs` for the number of CPUs; reads files under `/proc` and the
//! mounted control group hierarchies.
//!
//! A group's limit is `cpu.max` in version 2 (`"max 100000"` or `"<quota> <period>"`, microseconds)
//! and the two files `cpu.cfs_quota_us` and `cpu.cfs_period_us` in version 1. A group cannot use more
//! than any group around it, so all that can be seen count, from our own up to the mount point. (Go
//! reads only the innermost, golang/go#81180.) See cgroups(7) and proc(5) for the formats.

use std::fs;

/// The tightest quota of all visible groups in whole CPUs, rounded up; `None` without a limit.
pub(super) fn quota() -> Option<usize> {
    quota_from(&|path| fs::read_to_string(path).ok())
}

/// [`quota`] on the files that `read` gives.
fn quota_from(read: &dyn Fn(&str) -> Option<String>) -> Option<usize> {
    let groups = read("/proc/self/cgroup")?;
    let mounts = read("/proc/self/mountinfo")?;
    let limits = mounts.lines().filter_map(Mount::parse).filter_map(|mount| {
        let group = mount.group(&groups)?;
        mount.tightest(&group, read)
    });
    limits.reduce(f64::min).map(|cpus| (cpus.ceil() as usize).max(1))
}

/// Which interface a hierarchy has.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    V1,
    V2,
}

/// A mounted control group hierarchy that may limit CPUs.
struct Mount {
    version: Version,
    /// The group that is visible at the mount point.
    root: String,
    /// Where it is mounted.
    point: String,
}

impl Mount {
    /// Reads a line of `mountinfo`; `None` for all other kinds of mounts.
    fn parse(line: &str) -> Option<Mount> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let version = match right.next()? {
            "cgroup2" => Version::V2,
            "cgroup" if right.nth(1)?.split(',').any(|option| option == "cpu") => Version::V1,
            _ => return None,
        };
        let mut left = left.split(' ').skip(3);
        Some(Mount { version, root: unescape(left.next()?), point: unescape(left.next()?) })
    }

    /// Our group's path below the mount point, from the text of `/proc/self/cgroup`: empty or with a
    /// leading slash. `None` if we are not in this hierarchy.
    fn group(&self, groups: &str) -> Option<String> {
        let path = groups.lines().find_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let ours = match self.version {
                Version::V2 => number == "0" && controllers.is_empty(),
                Version::V1 => controllers.split(',').any(|name| name == "cpu"),
            };
            ours.then_some(path)
        })?;
        let below = path.strip_prefix(self.root.trim_end_matches('/'));
        Some(match below {
            // A group outside of what we see is shown with dots; the mount point is what remains.
            Some(below) if below.starts_with('/') && !below.contains("/..") => below.trim_end_matches('/').to_owned(),
            _ => String::new(),
        })
    }

    /// The least limit from `group` up to the mount point, in CPUs.
    fn tightest(&self, group: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
        let mut group = group;
        let mut least: Option<f64> = None;
        loop {
            if let Some(limit) = self.limit(&format!("{}{group}", self.point), read) {
                least = Some(least.map_or(limit, |l| l.min(limit)));
            }
            match group.rfind('/') {
                Some(cut) => group = &group[..cut],
                None => return least,
            }
        }
    }

    /// The limit of the group at `dir` itself, in CPUs.
    fn limit(&self, dir: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
        let (quota, period) = match self.version {
            Version::V2 => {
                let text = read(&format!("{dir}/cpu.max"))?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
            Version::V1 => (read(&format!("{dir}/cpu.cfs_quota_us"))?, read(&format!("{dir}/cpu.cfs_period_us"))?),
        };
        // "max" in version 2 and -1 in version 1 are no positive numbers: no limit.
        let quota: u64 = quota.trim().parse().ok()?;
        let period: u64 = period.trim().parse().ok()?;
        (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
    }
}

/// Undoes the octal escapes of `mountinfo` (space, tab, newline, backslash).
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
