//! The script that loads container images at a node's start, run here with a `docker` that notes what it
//! is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../overlays/docker-images/root/usr/lib/pibake/images");

struct Node {
    dir: TempDir,
}

impl Node {
    /// A node with these archives; what `docker` does is up to `docker`.
    fn new(archives: &[&str], docker: &str) -> Self {
        let node = Self { dir: TempDir::new().unwrap() };
        fs::create_dir(node.path("images")).unwrap();
        fs::create_dir(node.path("bin")).unwrap();
        for archive in archives {
            fs::write(node.path("images").join(archive), archive).unwrap();
        }
        node.docker(docker);
        let replaced = SCRIPT
            .replace("DIR=/var/cache/pibake/images\n", &format!("DIR={}\n", node.path("images").display()))
            .replace("LOG=/var/log/pibake.log\n", &format!("LOG={}\n", node.path("log").display()))
            .replace("PATIENCE=1800\n", "PATIENCE=4\n")
            .replace(" PATH=", &format!(" PATH={}:", node.path("bin").display()))
            .replace("/dev/console", "/dev/null");
        fs::write(node.path("script"), replaced).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn docker(&self, body: &str) {
        let path = self.path("bin").join("docker");
        let calls = self.path("calls");
        fs::write(&path, format!("#!/bin/sh\necho \"$*\" >>{}\n{body}\n", calls.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn start(&self) -> Output {
        Command::new("sh").arg(self.path("script")).output().unwrap()
    }

    fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = fs::read_dir(self.path("images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        left
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    fn loads(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let name = |line: &str| Path::new(line).file_name().unwrap().to_str().unwrap().to_owned();
        calls.lines().filter(|line| line.starts_with("load ")).map(name).collect()
    }
}

#[test]
fn each_archive_is_loaded_and_then_deleted() {
    let node = Node::new(&["b.tar", "a.tar.gz"], "echo Loaded image: x");
    let output = node.start();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(node.loads(), ["a.tar.gz", "b.tar"]);
    assert!(node.left().is_empty());
    assert_eq!(
        node.log(),
        [
            "images: step 1 of 5: waiting for Docker, to load what came with the card",
            "images: step 2 of 5: loading a.tar.gz (0 MiB)",
            "images: step 3 of 5: deleting a.tar.gz",
            "images: step 4 of 5: loading b.tar (0 MiB)",
            "images: step 5 of 5: deleting b.tar",
            "images: done: every image is loaded, and the room of the archives is given back",
        ]
    );
}

#[test]
fn without_archives_docker_is_not_even_asked() {
    let node = Node::new(&[], "exit 1");
    assert!(node.start().status.success());
    assert!(!node.path("calls").exists() && node.log().is_empty());
}

#[test]
fn what_docker_does_not_take_stays_and_the_rest_is_loaded() {
    let fails = "case $* in load*a.tar) echo 'no space left on device' >&2; exit 1 ;; esac";
    let node = Node::new(&["a.tar", "b.tar"], fails);
    let output = node.start();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(node.left(), ["a.tar"]);
    let log = node.log().join("\n");
    assert!(log.contains("a.tar is not loaded, and stays: no space left on device"), "{log}");
    assert!(log.contains("step 4 of 5: loading b.tar"), "{log}");
    assert!(log.contains("failed: 1 of 2 archives are not loaded; the next start tries again"), "{log}");
    // The next start, and Docker has room again.
    node.docker("");
    assert!(node.start().status.success());
    assert!(node.left().is_empty());
}

#[test]
fn a_power_cut_between_loading_and_deleting_only_loads_again() {
    let node = Node::new(&["a.tar"], "case $* in load*) kill -KILL $PPID ;; esac");
    assert!(!node.start().status.success());
    assert_eq!(node.left(), ["a.tar"]);
    node.docker("");
    assert!(node.start().status.success());
    assert_eq!(node.loads(), ["a.tar", "a.tar"]);
    assert!(node.left().is_empty());
}

#[test]
fn docker_that_comes_late_is_waited_for_and_one_that_never_comes_is_told() {
    let node = Node::new(&["a.tar"], "");
    let marker = node.path("asked");
    node.docker(&format!("[ -e {0} ] || {{ : >{0}; exit 1; }}", marker.display()));
    assert!(node.start().status.success());
    assert!(node.left().is_empty());

    let node = Node::new(&["a.tar"], "exit 1");
    assert_eq!(node.start().status.code(), Some(1));
    assert_eq!(node.left(), ["a.tar"]);
    assert!(node.log().join("\n").contains("Docker does not answer"));
}
