//! Finds the control group (version 1 or 2) with the least memory left: that of this process or an
//! ancestor.

use super::facts::{CgroupLimit, Fact};
use super::root::{Root, column, labelled};

/// File names of one version of control groups.
struct Version {
    /// The type of its file system.
    mount: &'static str,
    /// The mount option of the memory controller; version 2 has a single hierarchy.
    option: Option<&'static str>,
    /// The controller in /proc/self/cgroup: empty in version 2.
    controller: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Page cache, which the kernel reclaims on demand.
    cached: [&'static str; 2],
}

const VERSIONS: [Version; 2] = [
    Version {
        mount: "cgroup2",
        option: None,
        controller: "",
        limit: "memory.max",
        used: "memory.current",
        cached: ["inactive_file ", "active_file "],
    },
    Version {
        mount: "cgroup",
        option: Some("memory"),
        controller: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cached: ["total_inactive_file ", "total_active_file "],
    },
];

/// Maximum number of nested groups examined.
const DEEPEST: usize = 64;

/// Returns the group with the least memory left. Unknown if a limit exists but cannot be read.
pub fn tightest(root: &Root) -> Fact<CgroupLimit> {
    let groups = match root.text("proc/self/cgroup") {
        Ok(text) => text,
        Err(_) if root.has("proc/self") => return Fact::Absent,
        Err(why) => return Fact::Unknown(why),
    };
    let mounts = match root.text("proc/self/mountinfo") {
        Ok(text) => text,
        Err(why) => return Fact::Unknown(why),
    };
    let mut tightest = Fact::Absent;
    for version in &VERSIONS {
        for folder in folders(version, &groups, &mounts) {
            tightest = tighter(tightest, group(root, version, &folder));
        }
    }
    tightest
}

/// Returns the directories of the group and its ancestors, as far as they are mounted here.
fn folders(version: &Version, groups: &str, mounts: &str) -> Vec<String> {
    let own = groups.lines().find_map(|line| own_path(version, line));
    let mount = mounts.lines().find_map(|line| mount_of(version, line));
    let (Some(own), Some((top, place))) = (own, mount) else { return Vec::new() };
    // A container may see only part of the hierarchy, or a path outside it.
    let below = own.strip_prefix(top.trim_end_matches('/')).unwrap_or_default();
    let below = if below.contains("..") { "" } else { below.trim_end_matches('/') };
    let mut folders = vec![format!("{place}{below}")];
    while let Some((above, _)) = folders.last().and_then(|last| last.rsplit_once('/')) {
        if above.len() < place.len() || folders.len() == DEEPEST {
            break;
        }
        folders.push(above.to_string());
    }
    folders
}

/// `0::/user.slice` in version 2, `4:memory:/user.slice` in version 1.
fn own_path<'a>(version: &Version, line: &'a str) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let mut controllers = parts.next()?.split(',');
    let path = parts.next()?;
    controllers.any(|controller| controller == version.controller).then_some(path)
}

/// Returns the root and the mount point: the fourth and fifth column of mountinfo.
fn mount_of<'a>(version: &Version, line: &'a str) -> Option<(&'a str, &'a str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let mut kind = kind.split(' ');
    if kind.next() != Some(version.mount) {
        return None;
    }
    let mut options = kind.nth(1).unwrap_or_default().split(',');
    let is_wanted = version.option.is_none_or(|wanted| options.any(|option| option == wanted));
    Some((place.next()?, place.next()?)).filter(|_| is_wanted)
}

fn group(root: &Root, version: &Version, folder: &str) -> Fact<CgroupLimit> {
    let file = format!("{folder}/{}", version.limit);
    if !root.has(&file) {
        return Fact::Absent;
    }
    let limit = match column(root, &file, 0) {
        Fact::Known(limit) => limit,
        Fact::Unknown(why) => return Fact::Unknown(why),
        Fact::Unlimited | Fact::Absent => return Fact::Unlimited,
    };
    let used = match column(root, &format!("{folder}/{}", version.used), 0) {
        Fact::Known(used) => used,
        Fact::Unknown(why) => return Fact::Unknown(why),
        Fact::Unlimited | Fact::Absent => 0,
    };
    let stat = format!("{folder}/memory.stat");
    let cached = |label: &&str| labelled(root, &stat, label, 0).known().copied().unwrap_or(0);
    let cached: u64 = version.cached.iter().map(cached).sum();
    Fact::Known(CgroupLimit { file, limit, used: used.saturating_sub(cached) })
}

/// An unknown limit comes first, since it may be the smallest; then the one with the least memory
/// left.
fn tighter(one: Fact<CgroupLimit>, other: Fact<CgroupLimit>) -> Fact<CgroupLimit> {
    let room = |fact: &Fact<CgroupLimit>| match fact {
        Fact::Unknown(_) => (0, 0),
        Fact::Known(group) => (1, group.limit.saturating_sub(group.used)),
        Fact::Unlimited => (2, 0),
        Fact::Absent => (3, 0),
    };
    if room(&other) < room(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree::Tree;
    use super::*;

    const V2: &str = "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 32 0:32 /top /mnt/memory rw - cgroup cgroup rw,memory\n\
        36 32 0:33 / /mnt/cpu rw - cgroup cgroup rw,cpu\n";

    fn tree(groups: &str, mounts: &str) -> Tree {
        Tree::empty().with("proc/self/cgroup", groups).with("proc/self/mountinfo", mounts)
    }

    #[test]
    fn the_tightest_group_above_is_found() {
        let tree = tree("0::/a.slice/b.service\n", V2)
            .with("sys/fs/cgroup/a.slice/memory.max", "1000\n")
            .with("sys/fs/cgroup/a.slice/memory.current", "900\n")
            .with("sys/fs/cgroup/a.slice/memory.stat", "anon 1\ninactive_file 90\nactive_file 10\n")
            .with("sys/fs/cgroup/a.slice/b.service/memory.max", "700\n")
            .with("sys/fs/cgroup/a.slice/b.service/memory.current", "100\n");
        let file = "/sys/fs/cgroup/a.slice/memory.max".to_string();
        let expected = CgroupLimit { file, limit: 1000, used: 800 };
        assert_eq!(tightest(&tree.root()), Fact::Known(expected));
    }

    #[test]
    fn version_1_is_read_below_the_part_that_is_mounted() {
        let tree = tree("7:cpu,cpuacct:/top/x\n4:memory:/top/x\n0::/\n", V1)
            .with("mnt/memory/x/memory.limit_in_bytes", "5000\n")
            .with("mnt/memory/x/memory.usage_in_bytes", "1000\n")
            .with("mnt/memory/x/memory.stat", "inactive_file 7\ntotal_inactive_file 300\n")
            .with("mnt/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let file = "/mnt/memory/x/memory.limit_in_bytes".to_string();
        assert_eq!(
            tightest(&tree.root()),
            Fact::Known(CgroupLimit { file, limit: 5000, used: 700 })
        );
    }

    #[test]
    fn no_limit_and_no_group_are_distinguished() {
        let endless = tree("0::/x\n", V2).with("sys/fs/cgroup/x/memory.max", "max\n");
        assert_eq!(tightest(&endless.root()), Fact::Unlimited);
        assert_eq!(tightest(&tree("0::/\n", V2).root()), Fact::Absent);
        let without = Tree::empty().with("proc/self/limits", "");
        assert_eq!(tightest(&without.root()), Fact::Absent);
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_unknown() {
        let odd = tree("0::/x\n", V2).with("sys/fs/cgroup/x/memory.max", "lots\n");
        assert_eq!(tightest(&odd.root()), Fact::Unknown("not a number: lots".to_string()));
        let half = tree("0::/x\n", V2).with("sys/fs/cgroup/x/memory.max", "5000\n");
        assert!(matches!(tightest(&half.root()), Fact::Unknown(why) if why.contains("current")));
    }

    #[test]
    fn a_path_from_outside_stays_inside() {
        let tree = tree("0::/../../other\n", V2)
            .with("sys/fs/cgroup/memory.max", "100\n")
            .with("sys/fs/cgroup/memory.current", "0\n");
        let file = "/sys/fs/cgroup/memory.max".to_string();
        assert_eq!(tightest(&tree.root()), Fact::Known(CgroupLimit { file, limit: 100, used: 0 }));
    }
}
