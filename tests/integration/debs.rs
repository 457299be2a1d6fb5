//! Packages against dpkg itself: the tier `oracles`, asked for with `PIBAKE_TIER=oracles` and run as root
//! on a Debian.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;
use std::process::Command;

use pibake::deb::control::fields;
use pibake::deb::{Package, closure, file, status};

use crate::root::asked_as_root;

/// Whether a program ends with 0, and what it says.
fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn pick<'a, T>(random: &mut fastrand::Rng, of: &'a [T]) -> &'a T {
    &of[random.usize(..of.len())]
}

#[test]
fn versions_are_ordered_as_dpkg_orders_them() {
    if !asked_as_root("oracles", "packages before dpkg") {
        return;
    }
    let mut random = fastrand::Rng::with_seed(3);
    let parts = [
        "1",
        "01",
        "10",
        "2",
        "0",
        "~",
        "~~",
        "+",
        "a",
        "Z",
        ".",
        "~rc1",
        "+deb12u2",
        "00",
        "99999999999999999999",
    ];
    for _ in 0..400 {
        let mut version = || {
            let epoch = *pick(&mut random, &["", "", "0:", "1:"]);
            let body: String = (0..random.usize(1..4)).map(|_| *pick(&mut random, &parts)).collect();
            let revision = *pick(&mut random, &["", "", "-0", "-1", "-1~bpo1", "-1.1"]);
            format!("{epoch}1{body}{revision}")
        };
        let (one, other) = (version(), version());
        let version = |text: &str| {
            let text = format!("Package: a\nVersion: {text}\nArchitecture: all\n");
            Package::from_paragraph(&fields(&text).unwrap()).unwrap().version
        };
        let order = match version(&one).cmp(&version(&other)) {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        let (agreed, said) = run("dpkg", &["--compare-versions", &one, order, &other]);
        assert!(agreed, "{one} {order} {other}: {said}");
    }
}

#[test]
fn packages_that_dpkg_deb_built_are_read() {
    if !asked_as_root("oracles", "packages before dpkg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = "Package: own\nVersion: 1:2.0-3\nArchitecture: armhf\nMaintainer: x <x@localhost>\n\
                   Depends: libc6 (>= 2.28), a | b (<< 3~)\nProvides: virtual (= 4)\nDescription: own\n";
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    for (compression, zstd) in [("none", false), ("gzip", false), ("xz", false), ("zstd", true)] {
        let path = dir.path().join(format!("{compression}.deb"));
        let [from, to] = [&tree, &path].map(|path| path.to_str().unwrap());
        let (built, said) = run("dpkg-deb", &["--root-owner-group", "-Z", compression, "-b", from, to]);
        assert!(built, "{said}");
        let found = file::read(&path).unwrap();
        let (_, depends) = run("dpkg-deb", &["-f", to, "Depends"]);
        assert_eq!(found.package.depends.to_string(), depends.trim());
        assert_eq!((found.package.to_string().as_str(), found.zstd), ("own 1:2.0-3", zstd));
        assert_eq!(found.size, fs::metadata(&path).unwrap().len());
    }
}

/// A system without relations of its own, and packages that may need it, each other, or nothing at hand.
fn world(random: &mut fastrand::Rng) -> (Vec<String>, Vec<String>) {
    let names = ["a", "b", "c", "d", "e"];
    let relation = |random: &mut fastrand::Rng| {
        let name = *pick(random, &["a", "b", "c", "d", "e", "virtual"]);
        let bound = *pick(random, &["", "", " (>= 2)", " (<< 2)", " (= 1)", " (>> 2)"]);
        format!("{name}{bound}")
    };
    let paragraph = |random: &mut fastrand::Rng, name: &str, version: u32, needs: bool| {
        let mut text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@localhost>\nDescription: d\n"
        );
        if random.u8(..4) == 0 {
            text += *pick(random, &["Provides: virtual\n", "Provides: virtual (= 2)\n"]);
        }
        if needs && random.bool() {
            text += &format!("Depends: {}\n", relation(random));
        } else if needs && random.bool() {
            text += &format!("Depends: {} | {}\n", relation(random), relation(random));
        }
        if needs && random.u8(..4) == 0 {
            text += &format!("{}: {}\n", pick(random, &["Breaks", "Conflicts"]), relation(random));
        }
        text
    };
    let (mut installed, mut staged) = (Vec::new(), Vec::new());
    for name in names {
        if random.bool() {
            installed.push(paragraph(random, name, 1, false));
        }
        if random.bool() {
            let version = random.u32(1..4);
            staged.push(paragraph(random, name, version, true));
        }
    }
    (installed, staged)
}

/// Whether dpkg, with no more than the packages at hand, gets all of them installed: what needs another
/// round for the order of things gets it, as on a node.
fn dpkg_installs(dir: &Path, installed: &[String], staged: &[String]) -> (bool, String) {
    let admin = dir.join("var/lib/dpkg");
    for name in ["info", "updates", "triggers"] {
        fs::create_dir_all(admin.join(name)).unwrap();
    }
    let paragraphs = installed.iter().map(|text| format!("{text}Status: install ok installed\n\n"));
    fs::write(admin.join("status"), paragraphs.collect::<String>()).unwrap();
    let mut files = Vec::new();
    for (at, control) in staged.iter().enumerate() {
        let tree = dir.join(format!("tree{at}"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = dir.join(format!("{at}.deb"));
        let [from, to] = [&tree, &file].map(|path| path.to_str().unwrap().to_owned());
        let (built, said) = run("dpkg-deb", &["-Znone", "-b", &from, &to]);
        assert!(built, "{said}");
        files.push(to);
    }
    let root = format!("--root={}", dir.display());
    let mut args = vec![root.as_str(), "-i", "--force-confold"];
    args.extend(files.iter().map(String::as_str));
    let mut log = String::new();
    for _ in 0..3 {
        let (done, said) = run("dpkg", &args);
        log += &said;
        if done {
            return (true, log);
        }
    }
    (false, log)
}

#[test]
fn a_set_is_complete_when_dpkg_can_install_it() {
    if !asked_as_root("oracles", "packages before dpkg") {
        return;
    }
    let mut random = fastrand::Rng::with_seed(7);
    let (mut complete, mut refused) = (0, 0);
    for round in 0..60 {
        let (installed, staged) = world(&mut random);
        if staged.is_empty() {
            continue;
        }
        let text: String =
            installed.iter().map(|text| format!("{text}Status: install ok installed\n\n")).collect();
        let system = status::read(&text).unwrap().installed;
        let packages: Vec<Package> =
            staged.iter().map(|text| Package::from_paragraph(&fields(text).unwrap()).unwrap()).collect();
        let ours = closure::check(&system, &packages.iter().collect::<Vec<_>>(), "arm64");
        let dir = tempfile::tempdir().unwrap();
        let (theirs, log) = dpkg_installs(dir.path(), &installed, &staged);
        assert_eq!(ours.is_ok(), theirs, "{round}: {ours:?}\n{}\n--\n{}\n{log}", text, staged.join("\n"));
        if theirs { complete += 1 } else { refused += 1 }
    }
    assert!(complete >= 10 && refused >= 10, "{complete} complete and {refused} refused sets say little");
}
