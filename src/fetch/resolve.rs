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
        self.go_on(chosen, &mut MAX_STEPS.clone())
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
                return Err("there are too many ways to put the packages together".to_owned());
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

    fn first_gap(&self, chosen: &Chosen<'a>) -> Option<Gap<'a>> {
        let new: Vec<&'a Package> = chosen.values().map(|offer| &offer.package).collect();
        let stays =
            |package: &&'a Package| !(package.fits(self.arch) && chosen.contains_key(package.name.as_str()));
        let kept: Vec<&'a Package> = self.installed.iter().filter(stays).collect();
        let after = Index::new(self.arch, kept.iter().chain(&new).copied());
        let is_new = |found: &Package| {
            chosen.get(found.name.as_str()).is_some_and(|offer| std::ptr::eq(&offer.package, found))
        };

        for one in &new {
            for other in
                one.conflicts.0.iter().flatten().flat_map(|relation| after.conflicting(relation, one))
            {
                return Some(Gap::Conflict { one, other, kept: !is_new(other) });
            }
        }
        for one in &kept {
            let against =
                one.conflicts.0.iter().flatten().flat_map(|relation| after.conflicting(relation, one));
            if let Some(other) = against.into_iter().find(|other| is_new(other)) {
                return Some(Gap::Conflict { one: other, other: one, kept: true });
            }
        }
        for of in &new {
            if let Some(alternatives) = of.depends.0.iter().find(|one| !after.satisfies(one, of)) {
                return Some(Gap::Needs { of, alternatives, kept: false });
            }
        }
        kept.iter().find_map(|of| {
            let lost = |one: &&'a Vec<Relation>| self.before.satisfies(one, of) && !after.satisfies(one, of);
            let alternatives = of.depends.0.iter().find(lost)?;
            Some(Gap::Needs { of, alternatives, kept: true })
        })
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
        offers.filter(|offer| does(&offer)).collect()
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
