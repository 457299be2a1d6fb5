//! Which packages an image lacks for what is asked of it: everything needed, and of what is there already
//! only what has to be newer. Nothing is ever taken away.

use std::collections::BTreeMap;

use debian_control::lossy::Relation;

use crate::deb::Package;
use crate::deb::index::Index;

use super::catalogue::{Catalogue, Offer};

/// How many ways are tried before giving up: archives that fit together need a few dozen.
const MAX_STEPS: usize = 4_000;

/// A choice that is complete, by name.
pub(super) type Chosen<'a> = BTreeMap<&'a str, &'a Offer>;

/// What packages are chosen for.
pub(super) struct Resolver<'a> {
    installed: &'a [Package],
    catalogue: &'a Catalogue,
    arch: &'a str,
    before: Index<'a>,
}

/// Something that a choice leaves open.
enum Gap<'a> {
    /// None of the alternatives that `of` needs is there; `kept` when the image has `of` already.
    Needs { of: &'a Package, alternatives: &'a [Relation], kept: bool },
    /// Two that will not be installed side by side, the second of them the image's own if so.
    Conflict { one: &'a Package, other: &'a Package, kept: bool },
}

impl<'a> Resolver<'a> {
    /// For an image with these packages, whose dpkg is of the architecture `arch`.
    #[must_use]
    pub(super) fn new(installed: &'a [Package], catalogue: &'a Catalogue, arch: &'a str) -> Self {
        Self { installed, catalogue, arch, before: Index::new(arch, installed) }
    }

    /// Everything that has to be installed with `roots`.
    ///
    /// # Errors
    /// What is missing, and for which package.
    pub(super) fn complete(&self, roots: &[&'a Offer]) -> Result<Chosen<'a>, String> {
        let chosen = roots.iter().map(|offer| (offer.package.name.as_str(), *offer)).collect();
        let mut steps = MAX_STEPS;
        self.go_on(chosen, &mut steps)
    }

    /// The installed package of that name, for this architecture.
    #[must_use]
    pub(super) fn installed(&self, name: &str) -> Option<&'a Package> {
        self.installed.iter().find(|package| package.name == name && package.fits(self.arch))
    }

    /// Closes the first gap in every way there is, until a choice has none.
    fn go_on(&self, chosen: Chosen<'a>, steps: &mut usize) -> Result<Chosen<'a>, String> {
        let Some(gap) = self.first_gap(&chosen) else { return Ok(chosen) };
        let mut reason = None;
        for offer in self.ways(&gap, &chosen) {
            if *steps == 0 {
                break;
            }
            *steps -= 1;
            let mut next = chosen.clone();
            next.insert(&offer.package.name, offer);
            match self.go_on(next, steps) {
                Ok(complete) => return Ok(complete),
                // What stands in the way of the best way is what people want to know.
                Err(why) => reason = reason.or(Some(why)),
            }
        }
        Err(reason.unwrap_or_else(|| self.describe(&gap)))
    }

    /// What is wrong first: conflicts, since a choice that has one leads nowhere, then what the new packages
    /// need, then what those of the image lose.
    fn first_gap(&self, chosen: &Chosen<'a>) -> Option<Gap<'a>> {
        let new: Vec<&'a Package> = chosen.values().map(|offer| &offer.package).collect();
        let replaced =
            |package: &Package| package.fits(self.arch) && chosen.contains_key(package.name.as_str());
        let kept: Vec<&'a Package> = self.installed.iter().filter(|package| !replaced(package)).collect();
        let after = Index::new(self.arch, kept.iter().chain(&new).copied());
        conflict(&new, &kept, &after).or_else(|| self.need(&new, &kept, &after))
    }

    fn need(&self, new: &[&'a Package], kept: &[&'a Package], after: &Index<'a>) -> Option<Gap<'a>> {
        let missing = |of: &'a Package, kept: bool| {
            let had = |one: &Vec<Relation>| !kept || self.before.satisfies(one, of);
            let open = of.depends.0.iter().find(|one| had(one) && !after.satisfies(one, of));
            open.map(|alternatives| Gap::Needs { of, alternatives, kept })
        };
        new.iter().find_map(|of| missing(of, false)).or_else(|| kept.iter().find_map(|of| missing(of, true)))
    }

    /// The offers that may close a gap, the best first.
    fn ways(&self, gap: &Gap<'a>, chosen: &Chosen<'a>) -> Vec<&'a Offer> {
        let offers = match gap {
            Gap::Needs { of, alternatives, kept } => {
                let newer = if *kept { self.catalogue.named(&of.name) } else { Vec::new() };
                newer
                    .into_iter()
                    .chain(alternatives.iter().flat_map(|one| self.satisfying(one, of)))
                    .collect()
            }
            Gap::Conflict { other, kept: true, .. } => self.catalogue.named(&other.name),
            Gap::Conflict { .. } => Vec::new(),
        };
        let possible = |offer: &&Offer| {
            let name = offer.package.name.as_str();
            // What was chosen was chosen for a reason, and nothing of the image is replaced by the same or older.
            !chosen.contains_key(name)
                && self.installed(name).is_none_or(|old| old.version < offer.package.version)
        };
        offers.into_iter().filter(possible).collect()
    }

    /// The packages of the name first, then what provides it.
    fn satisfying(&self, relation: &'a Relation, of: &'a Package) -> Vec<&'a Offer> {
        let (named, providing) =
            (self.catalogue.named(&relation.name), self.catalogue.providing(&relation.name));
        let offers = named.into_iter().chain(providing);
        let does = |offer: &&Offer| {
            Index::new(self.arch, [&offer.package]).satisfying(relation, of).next().is_some()
        };
        offers.filter(does).collect()
    }

    fn describe(&self, gap: &Gap<'a>) -> String {
        match gap {
            Gap::Needs { of, alternatives, .. } => {
                let needed: Vec<String> = alternatives.iter().map(ToString::to_string).collect();
                let names = alternatives.iter().flat_map(|relation| self.catalogue.named(&relation.name));
                let offered = names.map(|offer| offer.package.to_string()).next();
                let what = match offered {
                    Some(offered) => format!("and the archives have {offered}"),
                    None => "which no archive has".to_owned(),
                };
                format!("{of} needs {}, {what}", needed.join(" | "))
            }
            Gap::Conflict { one, other, kept } => {
                let whose = if *kept { " of the image" } else { "" };
                format!("{one} cannot be installed beside {other}{whose}")
            }
        }
    }
}

/// Two that will not be side by side, one of them new: what the image itself holds is its own business.
fn conflict<'a>(new: &[&'a Package], kept: &[&'a Package], after: &Index<'a>) -> Option<Gap<'a>> {
    let is_new = |found: &Package| new.iter().any(|package| std::ptr::eq(*package, found));
    let against = |one: &'a Package| {
        one.conflicts.0.iter().flatten().flat_map(move |relation| after.conflicting(relation, one))
    };
    let of_new = || new.iter().find_map(|one| against(one).next().map(|other| (*one, other)));
    let of_kept =
        || kept.iter().find_map(|one| against(one).find(|other| is_new(other)).map(|other| (other, *one)));
    let (one, other) = of_new().or_else(of_kept)?;
    Some(Gap::Conflict { one, other, kept: !is_new(other) })
}
