//! A directory to run the program in, and what a run gave.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The image that `pibake demo` brings, packed.
pub(super) const DEMO: &[u8] = include_bytes!("../../fixtures/demo.img.zst");

/// A bake time after the demo image's newest file.
pub(super) const EPOCH: &str = "1800000000";

/// The public key of nobody.
pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0QiANlqfYIbHmN0BIxTMBEVDXxl98tEigw1sjCMgR test";

/// No run over the demo image takes nearly as long, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A directory holding `home`, `cache`, and `work` with the demo image and a cluster file.
pub(super) struct Desk {
    dir: TempDir,
}

impl Desk {
    /// One with a cluster of these nodes, numbered addresses.
    pub(super) fn new(nodes: &[&str]) -> Self {
        let desk = Self::bare();
        desk.write("pibake.toml", cluster("lab", "", nodes));
        desk
    }

    /// One without a cluster file.
    pub(super) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home", "cache", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("work/base.img.zst"), DEMO).unwrap();
        Self { dir }
    }

    /// The directory around everything.
    pub(super) fn top(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the working directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path(".pibake/lab")
    }

    /// An empty file standing for a card.
    pub(super) fn card(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.path(name);
        fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
        path
    }

    /// The program with nothing of this process's environment but the way to programs.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pibake"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env("SOURCE_DATE_EPOCH", EPOCH)
            .current_dir(self.dir.path().join("work"));
        command
    }

    /// Runs it to its end; nobody is at the terminal.
    pub(super) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args))
    }

    /// What the state, the cache and the working directory hold.
    pub(super) fn everything(&self) -> BTreeMap<String, String> {
        tree(self.dir.path())
    }
}

/// What a run gave.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn of(command: Command) -> Self {
        assert_cmd::Command::from_std(command).timeout(LIMIT).output().unwrap().into()
    }

    /// The run, which must have ended so.
    #[track_caller]
    pub(super) fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}\n{}", self.out, self.err);
        self
    }

    /// The run, which must have said all of this on standard error.
    #[track_caller]
    pub(super) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is missing from:\n{}", self.err);
        }
        self
    }

    /// Standard output, which must be exactly one JSON document.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Standard error, each line of which must be a JSON object.
    #[track_caller]
    pub(super) fn events(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let events: Vec<Value> = self.err.lines().map(parse).collect();
        assert!(events.iter().all(|event| event["event"].is_string()), "{}", self.err);
        events
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is UTF-8");
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A cluster file over the demo image: `more` stands before the nodes.
pub(super) fn cluster(name: &str, more: &str, nodes: &[&str]) -> String {
    let nodes: String = (1..)
        .zip(nodes)
        .map(|(at, node)| format!("\n[[node]]\nname = \"{node}\"\naddress = \"192.168.7.{at}/24\"\n"))
        .collect();
    let user = if more.contains("[user]") {
        String::new()
    } else {
        format!("[user]\nauthorized_keys = [\"{KEY}\"]\n")
    };
    format!("name = \"{name}\"\n\n[image]\nsource = \"base.img.zst\"\n\n{user}{more}{nodes}")
}

/// Everything below a directory: kind, mode and owner by path.
pub(super) fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let word = match (kind.is_dir(), kind.is_symlink(), kind.is_fifo()) {
                (true, ..) => "directory",
                (_, true, _) => "link",
                (_, _, true) => "fifo",
                _ => "file",
            };
            let mode = metadata.permissions().mode() & 0o7777;
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            found.insert(name, format!("{word} {mode:04o} {}:{}", metadata.uid(), metadata.gid()));
            if kind.is_dir() {
                left.push(path);
            }
        }
    }
    found
}
