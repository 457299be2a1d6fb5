//! `pibake fetch docker` from real archives, with apt as the judge: the tier `network` (tests/README.md).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::tier::asked;

/// A directory that the tier needs.
fn directory(variable: &str) -> PathBuf {
    let named: Option<OsString> = std::env::var_os(variable);
    let dir = PathBuf::from(named.unwrap_or_else(|| panic!("PIBAKE_TIER=network needs {variable}")));
    assert!(dir.is_dir(), "{variable}={} is no directory", dir.display());
    dir
}

/// Card images, each once: the links among them lead to others.
fn images() -> Vec<PathBuf> {
    let files = fs::read_dir(directory("PIBAKE_IMAGES")).unwrap().map(|found| found.unwrap().path());
    let is_image = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "img") && !path.is_symlink();
    let images: BTreeSet<PathBuf> = files.filter(is_image).collect();
    assert!(!images.is_empty(), "there is no .img in PIBAKE_IMAGES");
    images.into_iter().collect()
}

fn fetch(image: &Path, home: &Path, more: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pibake"));
    command.args(["fetch", "docker", "--json", "-o", "bundle", "--image"]).arg(image).args(more);
    for mirror in std::env::var("PIBAKE_MIRROR").unwrap_or_default().split_whitespace() {
        command.args(["--mirror", mirror]);
    }
    command.current_dir(home).env("XDG_CACHE_HOME", home.join("cache")).output().unwrap()
}

/// The URI of the archive that was found to have no such suite.
fn no_suite(ran: &Output) -> Option<String> {
    let error = String::from_utf8_lossy(&ran.stderr);
    let (before, _) = error.split_once(" has no such suite")?;
    before.rsplit("pibake: ").next()?.split(' ').next().map(str::to_owned)
}

/// `DIGEST  FILE` of each package, sorted.
fn sums(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn apt_chooses_the_same_packages() {
    if !asked("network", "bundles compared with apt's") {
        return;
    }
    let oracle = directory("PIBAKE_TESTBED").join("make-docker-bundle");
    for image in images() {
        let home = tempfile::tempdir().unwrap();
        let mut ran = fetch(&image, home.path(), &[]);
        let mut apt = Command::new(&oracle);
        apt.arg("--image").arg(&image).arg("--out").arg(home.path().join("apt"));
        // Images of releases without security updates name an archive that is not there; apt's is then left
        // out, too.
        let mut without = Vec::new();
        if let Some(uri) = no_suite(&ran) {
            apt.args(["--security", &uri]);
            without = vec!["--without".to_owned(), uri];
            ran = fetch(&image, home.path(), &without);
        }
        assert!(ran.status.success(), "{}: {}", image.display(), String::from_utf8_lossy(&ran.stderr));
        let ours = sums(&home.path().join("bundle"));
        // What `docker` stands for; docker-cli is a package of its own from Trixie on.
        let client = if ours.iter().any(|line| line.contains("  docker-cli_")) { ",docker-cli" } else { "" };
        apt.args(["--packages", &format!("docker.io,iptables,apparmor{client}")]);
        let judged = apt.output().unwrap();
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
        assert_eq!(ours, sums(&home.path().join("apt")), "{}", image.display());

        let again = fetch(&image, home.path(), &without);
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        let report: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(report["bundles"][0]["fetched"], 0, "{report:#}");
        eprintln!("{}: {} packages, the same as apt's", image.display(), ours.len());
    }
}
