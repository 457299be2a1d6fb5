//! Whether a set of packages can be installed onto a system with nothing else at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use debian_control::lossy::Relation;

use super::Package;
use super::index::Index;

/// One thing that stands in the way of installing a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// A package of the set is for other machines.
    WrongArchitecture {
        /// Name and version.
        package: String,
        /// What it is for.
        architecture: String,
        /// What the system is.
        native: String,
    },
    /// The set has one package in two versions, or the system would end up with it so.
    TwoVersions {
        /// The package's name.
        name: String,
        /// Both.
        versions: [String; 2],
    },
    /// The system has a newer version than the set.
    Older {
        /// Name and version.
        package: String,
        /// What is installed.
        installed: String,
    },
    /// What a package needs is neither in the set nor on the system.
    Missing {
        /// Name and version of what needs it.
        needed_by: String,
        /// Whether that is on the system already, and the set would take it away from it.
        on_system: bool,
        /// The relation, with its alternatives.
        relation: String,
        /// The version that is there and does not fit, when one of that name is.
        found: Option<String>,
    },
    /// Two packages that will not be installed side by side.
    Conflict {
        /// Name and version of the one that says so.
        package: String,
        /// Name and version of the other.
        with: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::WrongArchitecture { package, architecture, native } => {
                write!(f, "{package} is for {architecture}, and the image is {native}")
            }
            Problem::TwoVersions { name, versions: [one, other] } => {
                write!(f, "{name} would be there in two versions, {one} and {other}")
            }
            Problem::Older { package, installed } => {
                write!(f, "{package} is older than the {installed} that the image has")
            }
            Problem::Missing { needed_by, on_system, relation, found } => {
                let whose = if *on_system { " of the image" } else { "" };
                write!(f, "{needed_by}{whose} needs {relation}")?;
                match found {
                    Some(version) => write!(f, ", and what is there is {version}"),
                    None => f.write_str(", which is neither among the packages nor in the image"),
                }
            }
            Problem::Conflict { package, with } => {
                write!(f, "{package} cannot be installed beside {with}")
            }
        }
    }
}

/// Whether `staged` can be installed onto a system that has `installed`, whose dpkg is of the architecture
/// `native`, with nothing else at hand.
///
/// What is wrong on the system already, and stays as it is, is none of its business.
///
/// # Errors
/// Everything that stands in the way, sorted, each once.
pub fn check(installed: &[Package], staged: &[&Package], native: &str) -> Result<(), Vec<Problem>> {
    let mut problems = BTreeSet::new();
    let staged = once(staged, native, &mut problems);
    let replaced = |package: &Package| {
        staged.get(package.name.as_str()).filter(|new| package.fits(native) && new.fits(native)).copied()
    };
    for package in installed {
        versions(package, replaced(package), &staged, &mut problems);
    }
    let kept: Vec<&Package> = installed.iter().filter(|package| replaced(package).is_none()).collect();
    let before = Index::new(native, installed);
    let after = Index::new(native, kept.iter().copied().chain(staged.values().copied()));
    // What is for other machines has been told; what it needs there is no news.
    for package in staged.values().filter(|package| package.fits(native)) {
        needs(package, None, &after, &mut problems);
        conflicts(package, &after, &mut problems);
    }
    for package in kept {
        needs(package, Some(&before), &after, &mut problems);
        let new =
            |found: &Package| staged.get(found.name.as_str()).is_some_and(|new| std::ptr::eq(*new, found));
        for found in package.conflicts.0.iter().flatten().flat_map(|one| after.conflicting(one, package)) {
            if new(found) {
                problems.insert(Problem::Conflict { package: package.to_string(), with: found.to_string() });
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().collect()) }
}

/// The packages by name, each once.
fn once<'a>(
    packages: &[&'a Package],
    native: &str,
    problems: &mut BTreeSet<Problem>,
) -> BTreeMap<&'a str, &'a Package> {
    let mut by_name: BTreeMap<&str, &Package> = BTreeMap::new();
    for package in packages {
        if !package.fits(native) {
            problems.insert(Problem::WrongArchitecture {
                package: package.to_string(),
                architecture: package.architecture.clone(),
                native: native.to_owned(),
            });
        }
        match by_name.insert(&package.name, package) {
            Some(other) if other.version != package.version => {
                problems.insert(two_versions(other, package));
            }
            _ => {}
        }
    }
    by_name
}

fn two_versions(one: &Package, other: &Package) -> Problem {
    let mut versions = [one.version.clone(), other.version.clone()];
    versions.sort();
    Problem::TwoVersions { name: one.name.clone(), versions: versions.map(|version| version.to_string()) }
}

/// An installed package against the one of the set that takes its place, or stands beside it.
fn versions(
    installed: &Package,
    replaced_by: Option<&Package>,
    staged: &BTreeMap<&str, &Package>,
    problems: &mut BTreeSet<Problem>,
) {
    match (replaced_by, staged.get(installed.name.as_str())) {
        (Some(new), _) if new.version < installed.version => {
            problems.insert(Problem::Older {
                package: new.to_string(),
                installed: installed.version.to_string(),
            });
        }
        // Libraries of several architectures share their files, so all have one version.
        (None, Some(beside)) if beside.multi_arch == "same" && beside.version != installed.version => {
            problems.insert(two_versions(installed, beside));
        }
        _ => {}
    }
}

/// What a package needs and has not; for one of the system only what it had `before`.
fn needs(package: &Package, before: Option<&Index<'_>>, after: &Index<'_>, problems: &mut BTreeSet<Problem>) {
    for alternatives in &package.depends.0 {
        let lost = before.is_none_or(|before| before.satisfies(alternatives, package));
        if !lost || after.satisfies(alternatives, package) {
            continue;
        }
        let found = alternatives.iter().flat_map(|relation| after.named(&relation.name)).next();
        problems.insert(Problem::Missing {
            needed_by: package.to_string(),
            on_system: before.is_some(),
            relation: alternatives.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | "),
            found: found.map(ToString::to_string),
        });
    }
}

fn conflicts(package: &Package, after: &Index<'_>, problems: &mut BTreeSet<Problem>) {
    for found in package.conflicts.0.iter().flatten().flat_map(|one| after.conflicting(one, package)) {
        problems.insert(Problem::Conflict { package: package.to_string(), with: found.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::deb::Package;
    use crate::deb::testing::package;

    /// What stands in the way, one a line.
    fn problems(installed: &[Package], staged: &[Package]) -> Vec<String> {
        let staged: Vec<&Package> = staged.iter().collect();
        let found = check(installed, &staged, "arm64").err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    fn system() -> Vec<Package> {
        vec![
            package("libc6 2.36", "Multi-Arch: same\n"),
            package("adduser 3.1 all", "Multi-Arch: foreign\n"),
            package("old-thing", "Depends: gone-long-ago\n"),
        ]
    }

    #[test]
    fn a_complete_set_is_fine_and_so_is_one_that_is_there_already() {
        let docker = package("docker.io 20", "Depends: libc6 (>= 2.34), adduser, containerd | x, iptables\n");
        let rest = [
            package("containerd", "Depends: runc\n"),
            package("runc", ""),
            package("nft", "Provides: iptables\n"),
        ];
        let staged: Vec<Package> = [docker].into_iter().chain(rest).collect();
        assert!(problems(&system(), &staged).is_empty());
        let again: Vec<Package> = system().into_iter().chain(staged.clone()).collect();
        assert!(problems(&again, &staged).is_empty());
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        let staged = [package("docker.io 20", "Depends: libc6 (>= 2.40), runc | crun\n")];
        assert_eq!(
            problems(&system(), &staged),
            [
                "docker.io 20 needs libc6 (>= 2.40), and what is there is libc6 2.36",
                "docker.io 20 needs runc | crun, which is neither among the packages nor in the image",
            ]
        );
    }

    #[test]
    fn other_machines_older_versions_and_two_at_once_are_refused() {
        let staged = [package("x 1 armhf", "Depends: z\n"), package("y 1 all", ""), package("y 2 all", "")];
        assert_eq!(
            problems(&system(), &staged),
            ["x 1 is for armhf, and the image is arm64", "y would be there in two versions, 1 and 2",]
        );
        let older = [package("libc6 2.31", "")];
        assert_eq!(problems(&system(), &older), ["libc6 2.31 is older than the 2.36 that the image has"]);
        let both =
            [package("libc6 2.36 armhf", "Multi-Arch: same\n"), package("libc6 2.36", "Multi-Arch: same\n")];
        let newer = [package("libc6 2.41", "Multi-Arch: same\n")];
        assert_eq!(problems(&both, &newer), ["libc6 would be there in two versions, 2.36 and 2.41"]);
    }

    #[test]
    fn conflicts_count_from_both_sides_and_not_with_what_is_replaced() {
        let system = [package("podman", "Conflicts: docker.io\n"), package("runc 1", "")];
        let staged =
            [package("docker.io 20", "Breaks: runc (<< 2)\n"), package("ce", "Conflicts: docker.io\n")];
        assert_eq!(
            problems(&system, &staged),
            [
                "ce 1 cannot be installed beside docker.io 20",
                "docker.io 20 cannot be installed beside runc 1",
                "podman 1 cannot be installed beside docker.io 20",
            ]
        );
        let staged = [package("docker 20", "Breaks: runc (<< 2)\n"), package("runc 2", "")];
        assert!(problems(&system, &staged).is_empty());
    }

    #[test]
    fn an_upgrade_may_not_take_from_the_system_what_it_needs() {
        let system = [
            package("app", "Depends: lib (<< 2), plugin-api-1\n"),
            package("lib 1", ""),
            package("plugin 1", "Provides: plugin-api-1\n"),
        ];
        let staged = [package("lib 2", ""), package("plugin 2", "Provides: plugin-api-2\n")];
        assert_eq!(
            problems(&system, &staged),
            [
                "app 1 of the image needs lib (<< 2), and what is there is lib 2",
                "app 1 of the image needs plugin-api-1, which is neither among the packages nor in the image",
            ]
        );
    }
}
