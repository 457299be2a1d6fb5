//! Packages by the names they have and provide, and which of them satisfy a relation (Debian Policy
//! chapter 7; the architecture part as dpkg does it, deb-control(5) and Debian's multi-arch
//! specification).

use std::collections::BTreeMap;

use debian_control::lossy::Relation;
use debian_control::relations::VersionConstraint;
use debversion::Version;

use super::Package;

/// A set of packages: what a system has, or what an archive offers. Several versions of one may be in it.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    native: &'a str,
    named: BTreeMap<&'a str, Vec<&'a Package>>,
    provided: BTreeMap<&'a str, Vec<(&'a Package, &'a Relation)>>,
}

impl<'a> Index<'a> {
    /// The packages, on a system whose dpkg has the architecture `native`.
    pub fn new(native: &'a str, packages: impl IntoIterator<Item = &'a Package>) -> Self {
        let mut index = Self { native, named: BTreeMap::new(), provided: BTreeMap::new() };
        for package in packages {
            index.add(package);
        }
        index
    }

    /// Takes one more.
    pub fn add(&mut self, package: &'a Package) {
        self.named.entry(&package.name).or_default().push(package);
        for relation in package.provides.0.iter().flatten() {
            self.provided.entry(&relation.name).or_default().push((package, relation));
        }
    }

    /// The packages of that name, in the order they came.
    #[must_use]
    pub fn named(&self, name: &str) -> &[&'a Package] {
        self.named.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every package that satisfies a relation of `of`, those of its name before those that provide it.
    pub fn satisfying(&self, relation: &'a Relation, of: &'a Package) -> impl Iterator<Item = &'a Package> {
        self.fitting(relation, move |candidate| self.depends_across(relation, of, candidate))
    }

    /// Whether one of the alternatives of a `Depends` entry of `of` is in the set.
    #[must_use]
    pub fn satisfies(&self, alternatives: &'a [Relation], of: &'a Package) -> bool {
        alternatives.iter().any(|relation| self.satisfying(relation, of).next().is_some())
    }

    /// Every package that a `Conflicts` or `Breaks` relation of `of` is against; never `of` itself.
    pub fn conflicting(&self, relation: &'a Relation, of: &'a Package) -> impl Iterator<Item = &'a Package> {
        // Without a qualifier these speak of every architecture.
        let reaches = move |candidate: &Package| match relation.archqual.as_deref() {
            None | Some("any") => true,
            Some(qualifier) => self.arch_of(candidate) == self.resolve(qualifier),
        };
        self.fitting(relation, reaches)
            .filter(|found| (&found.name, &found.architecture) != (&of.name, &of.architecture))
    }

    fn fitting(
        &self,
        relation: &'a Relation,
        reaches: impl Fn(&Package) -> bool + Clone,
    ) -> impl Iterator<Item = &'a Package> {
        let own = self.named(&relation.name).iter().copied();
        let own = own.filter(|package| fits(relation, &package.version));
        let provided = self.provided.get(relation.name.as_str()).into_iter().flatten();
        let provided = provided
            .filter(|(_, provides)| match (&relation.version, &provides.version) {
                (None, _) => true,
                // What is provided without a version satisfies no relation with one.
                (Some(_), None) => false,
                (Some(_), Some((_, version))) => fits(relation, version),
            })
            .map(|(package, _)| *package);
        own.chain(provided).filter(move |package| reaches(package))
    }

    /// Whether a dependency may be satisfied by a package of that architecture.
    fn depends_across(&self, relation: &Relation, of: &Package, candidate: &Package) -> bool {
        let arch = self.arch_of(candidate);
        match relation.archqual.as_deref() {
            Some("any") => candidate.multi_arch == "allowed",
            Some(qualifier) => arch == self.resolve(qualifier),
            None => candidate.multi_arch == "foreign" || arch == self.arch_of(of),
        }
    }

    /// A package for all architectures is one of the native one.
    fn arch_of<'p>(&'p self, package: &'p Package) -> &'p str {
        self.resolve(&package.architecture)
    }

    fn resolve<'p>(&'p self, architecture: &'p str) -> &'p str {
        if matches!(architecture, "all" | "native") { self.native } else { architecture }
    }
}

/// Whether a version is one that a relation asks for.
#[must_use]
pub fn fits(relation: &Relation, version: &Version) -> bool {
    match &relation.version {
        None => true,
        Some((VersionConstraint::LessThan, wanted)) => version < wanted,
        Some((VersionConstraint::LessThanEqual, wanted)) => version <= wanted,
        Some((VersionConstraint::Equal, wanted)) => version == wanted,
        Some((VersionConstraint::GreaterThanEqual, wanted)) => version >= wanted,
        Some((VersionConstraint::GreaterThan, wanted)) => version > wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::Index;
    use crate::deb::Package;
    use crate::deb::testing::package;

    /// Whether a `Depends` of an arm64 package is satisfied by the packages.
    fn satisfied(depends: &str, packages: &[Package]) -> bool {
        let of = package("of", &format!("Depends: {depends}\n"));
        let index = Index::new("arm64", packages);
        of.depends.0.iter().all(|alternatives| index.satisfies(alternatives, &of))
    }

    #[test]
    fn versions_are_compared_as_dpkg_does() {
        let libc = [package("libc6 2.36-9+deb12u4", "")];
        for (depends, expected) in [
            ("libc6", true),
            ("libc6 (>= 2.36)", true),
            ("libc6 (>= 2.36-9+deb12u4)", true),
            ("libc6 (>> 2.36-9+deb12u4)", false),
            ("libc6 (<< 2.36-9+deb12u10)", true),
            ("libc6 (<= 2.36~rc1)", false),
            ("libc6 (= 2.36-9+deb12u4)", true),
            ("libc6 (= 0:2.36-9+deb12u4)", true),
            ("libc6 (>= 1:1)", false),
            ("libc6 (>= 3) | libc6 (<< 3)", true),
            ("libc6, other", false),
        ] {
            assert_eq!(satisfied(depends, &libc), expected, "{depends}");
        }
    }

    #[test]
    fn virtual_packages_have_a_version_only_when_they_say_so() {
        let plain = [package("mawk", "Provides: awk\n")];
        assert!(satisfied("awk", &plain));
        assert!(!satisfied("awk (>= 1)", &plain) && !satisfied("awk (<< 9)", &plain));
        let versioned = [package("libudev1 252", "Provides: libudev (= 200), x (= 1), y\n")];
        assert!(satisfied("libudev (>= 200)", &versioned) && satisfied("libudev", &versioned));
        assert!(!satisfied("libudev (>= 252)", &versioned), "its own version is another matter");
        let both = [package("a 2", ""), package("b", "Provides: a (= 5)\n")];
        let of = package("of", "Depends: a\n");
        let index = Index::new("arm64", &both);
        let names: Vec<_> = index.satisfying(&of.depends[0][0], &of).map(|found| &found.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(index.named("a").len(), 1);
        assert!(index.named("c").is_empty());
    }

    #[test]
    fn other_architectures_satisfy_only_where_multi_arch_lets_them() {
        let (foreign, allowed) = ("Multi-Arch: foreign\n", "Multi-Arch: allowed\n");
        for (depends, head, more, expected) in [
            ("x", "x 1 armhf", "", false),
            ("x", "x 1 armhf", foreign, true),
            ("x", "x 1 armhf", allowed, false),
            ("x:any", "x 1 armhf", allowed, true),
            ("x:any", "x 1 arm64", allowed, true),
            ("x:any", "x 1 arm64", "", false),
            ("x:armhf", "x 1 armhf", "", true),
            ("x:armhf", "x 1 arm64", "", false),
            ("x:native", "x 1 arm64", "", true),
            ("x", "x 1 all", "", true),
            ("x:arm64", "x 1 all", "", true),
            ("virtual", "x 1 armhf", "Provides: virtual\n", false),
            ("virtual", "x 1 armhf", "Multi-Arch: foreign\nProvides: virtual\n", true),
        ] {
            assert_eq!(satisfied(depends, &[package(head, more)]), expected, "{depends} by {head} {more}");
        }
    }

    #[test]
    fn conflicts_reach_every_architecture_but_not_oneself() {
        let of = package("engine", "Conflicts: engine-virtual, x (<< 2)\nProvides: engine-virtual\n");
        let others = [
            of.clone(),
            package("other 1 armhf", "Provides: engine-virtual\n"),
            package("x 1 armhf", ""),
            package("x 2", ""),
        ];
        let index = Index::new("arm64", &others);
        let found: Vec<_> =
            of.conflicts.0.iter().flatten().flat_map(|one| index.conflicting(one, &of)).collect();
        let names: Vec<_> = found.iter().map(|package| package.to_string()).collect();
        assert_eq!(names, ["other 1", "x 1"]);
    }
}
