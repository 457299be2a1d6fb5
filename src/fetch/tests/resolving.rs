//! What is chosen, for images and archives of a few packages. The network tier compares with apt.

use std::rc::Rc;

use crate::deb::Package;
use crate::deb::testing::package;
use crate::fetch::catalogue::{Catalogue, Origin};
use crate::fetch::resolve::Resolver;

/// What has to be installed with `roots`, or why that cannot be; offers are `NAME VERSION` and fields.
fn resolve(installed: &[Package], offers: &[(&str, &str)], roots: &[&str]) -> Result<Vec<String>, String> {
    let mut catalogue = Catalogue::new("arm64");
    let origin = Rc::new(Origin { uri: String::new(), name: String::new() });
    for (head, fields) in offers {
        let (name, version) = head.split_once(' ').unwrap_or((head, "1"));
        let digest = "00".repeat(32);
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: arm64\nFilename: a\nSize: 1\nSHA256: {digest}\n{fields}"
        );
        catalogue.add(&text, &origin);
    }
    let resolver = Resolver::new(installed, &catalogue, "arm64");
    let roots: Vec<_> = roots.iter().map(|name| catalogue.named(name)[0]).collect();
    let chosen = resolver.complete(&roots)?;
    Ok(chosen.values().map(|offer| offer.package.to_string()).collect())
}

#[track_caller]
fn assert_chosen(installed: &[Package], offers: &[(&str, &str)], roots: &[&str], expected: &[&str]) {
    assert_eq!(
        resolve(installed, offers, roots),
        Ok(expected.iter().map(|name| (*name).to_owned()).collect())
    );
}

#[test]
fn everything_needed_is_taken_and_nothing_else() {
    let offers = [
        ("a", "Depends: b, c (>= 2)\nPre-Depends: p\nRecommends: r\nSuggests: s"),
        ("b", "Depends: a, d"),
        ("c 1", ""),
        ("c 2", ""),
        ("d", ""),
        ("p", ""),
        ("r", ""),
        ("s", ""),
    ];
    assert_chosen(&[package("d 1", "")], &offers, &["a"], &["a 1", "b 1", "c 2", "p 1"]);
}

#[test]
fn the_first_alternative_is_taken_unless_another_is_there() {
    let offers = [("a", "Depends: x | y"), ("x", ""), ("y", "")];
    assert_chosen(&[], &offers, &["a"], &["a 1", "x 1"]);
    assert_chosen(&[package("y 1", "")], &offers, &["a"], &["a 1"]);
    assert_chosen(&[], &offers, &["a", "y"], &["a 1", "y 1"]);
    assert_chosen(&[], &[("a", "Depends: gone | y"), ("y", "")], &["a"], &["a 1", "y 1"]);
    // The first cannot be had after all, two steps further on.
    let blocked = [("a", "Depends: x | y"), ("x", "Depends: z"), ("z", "Depends: gone"), ("y", "")];
    assert_chosen(&[], &blocked, &["a"], &["a 1", "y 1"]);
}

#[test]
fn what_is_provided_counts_with_its_version() {
    let offers = [
        ("a", "Depends: v"),
        ("b", "Depends: v (>= 2)"),
        ("one", "Provides: v, v (= 1)\nPriority: important"),
        ("two", "Provides: v (= 2)\nPriority: optional"),
        ("v-named", "Provides: v"),
    ];
    assert_chosen(&[], &offers, &["a"], &["a 1", "one 1"]);
    assert_chosen(&[], &offers, &["b"], &["b 1", "two 1"]);
    assert_chosen(&[package("other 1", "Provides: v\n")], &offers, &["a"], &["a 1"]);
}

#[test]
fn what_is_installed_is_renewed_only_where_that_is_needed() {
    let offers = [("a", "Depends: lib (>= 2), tool"), ("lib 3", ""), ("tool 9", "")];
    let installed = [package("lib 1", ""), package("tool 1", "")];
    assert_chosen(&installed, &offers, &["a"], &["a 1", "lib 3"]);
    // What goes in step with it comes along, and what then breaks.
    let offers = [
        ("a", "Depends: lib (>= 2)"),
        ("lib 3", "Breaks: plugin (<< 3)"),
        ("lib-dev 3", "Depends: lib (= 3)"),
        ("plugin 3", ""),
    ];
    let installed =
        [package("lib 1", ""), package("lib-dev 1", "Depends: lib (= 1)\n"), package("plugin 1", "")];
    assert_chosen(&installed, &offers, &["a"], &["a 1", "lib 3", "lib-dev 3", "plugin 3"]);
}

#[test]
fn nothing_of_the_image_is_taken_away_or_made_older() {
    let offers = [("a", "Conflicts: b"), ("b 2", "")];
    let why = resolve(&[package("b 1", "")], &offers, &["a"]).unwrap_err();
    assert_eq!(why, "a 1 cannot be installed beside b 2");
    let why = resolve(&[package("c 1", "Conflicts: a\n")], &[("a", "")], &["a"]).unwrap_err();
    assert_eq!(why, "a 1 cannot be installed beside c 1 of the image");
    let why = resolve(&[package("b 3", "")], &[("a", "Depends: b (<< 3)"), ("b 2", "")], &["a"]).unwrap_err();
    assert_eq!(why, "a 1 needs b (<< 3), and the archives have b 2");
    // A way around a conflict is found.
    let offers = [("a", "Depends: x | y"), ("x", "Conflicts: b"), ("y", "")];
    assert_chosen(&[package("b 1", "")], &offers, &["a"], &["a 1", "y 1"]);
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let why = resolve(&[], &[("a", "Depends: b"), ("b", "Depends: c (>= 2) | d"), ("c 1", "")], &["a"])
        .unwrap_err();
    assert_eq!(why, "b 1 needs c (>= 2) | d, and the archives have c 1");
    let why = resolve(&[], &[("a", "Depends: b")], &["a"]).unwrap_err();
    assert_eq!(why, "a 1 needs b, which no archive has");
}

#[test]
fn circles_end_and_hopeless_choices_are_given_up() {
    let circle = [("a", "Depends: b"), ("b", "Depends: c"), ("c", "Depends: a")];
    assert_chosen(&[], &circle, &["a"], &["a 1", "b 1", "c 1"]);
    // Ten choices of two that each look well until the last need: all would be 2^20 ways.
    let mut offers: Vec<(String, String)> = vec![("z".into(), "Depends: gone".into())];
    let mut needs: Vec<String> = Vec::new();
    for at in 0..20 {
        offers.push((format!("x{at}"), String::new()));
        offers.push((format!("y{at}"), String::new()));
        needs.push(format!("x{at} | y{at}"));
    }
    offers.push(("a".into(), format!("Depends: {}, z", needs.join(", "))));
    let offers: Vec<(&str, &str)> =
        offers.iter().map(|(head, fields)| (head.as_str(), fields.as_str())).collect();
    assert_eq!(resolve(&[], &offers, &["a"]).unwrap_err(), "z 1 needs gone, which no archive has");
}
