//! A cluster file and its state, for tests of keys.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pibake::config::types::{Cluster, Node, Secret};
use pibake::config::{Selection, load};
use pibake::interrupt::Interrupt;
use pibake::progress::Silent;
use pibake::state::identity::{JoinIdentity, NodeIdentity, TlsIdentity};
use pibake::state::{AskPassphrase, State, StateError};

/// A bake time of the tests: in the past, as SOURCE_DATE_EPOCH mostly is.
pub(super) const TIME: i64 = 1_763_629_201;

/// Three nodes with TLS, two of them managers and one a worker, and a fourth with neither TLS nor role.
const NODES: [(&str, &str); 4] = [
    ("pi1", "192.168.0.1/16\"\nrole = \"manager"),
    ("pi2", "192.168.0.2/16\"\nrole = \"worker"),
    ("pi3", "192.168.0.3/16\"\nrole = \"manager"),
    ("pi4", "192.168.0.4/16"),
];

pub(super) struct Desk {
    pub(super) dir: tempfile::TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().expect("a directory can be made") };
        desk.write_cluster_file("lan");
        desk
    }

    pub(super) fn write_cluster_file(&self, search: &str) {
        let mut text = format!(
            "name = \"c\"\n[network]\nsearch = [\"{search}\"]\n[user]\nauthorized_keys = [\"{KEY}\"]\n\
             [docker]\ninstall = \"apt\"\ntls = true\n[swarm]\njoin_days = 30\n"
        );
        for (name, rest) in NODES {
            text += &format!("[[node]]\nname = \"{name}\"\naddress = \"{rest}\"\n");
        }
        text += "[node.docker]\ninstall = \"none\"\ntls = false\n";
        fs::write(self.dir.path().join("pibake.toml"), text).expect("it can be written");
    }

    pub(super) fn cluster(&self) -> Cluster {
        let cwd = self.dir.path().to_owned();
        let selection = Selection { cwd, allow_two_managers: true, ..Selection::default() };
        load(&selection).unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub(super) fn node(&self, name: &str) -> Node {
        self.cluster().nodes.into_iter().find(|node| node.name == name).expect("it is in the file")
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.dir.path().join(".pibake/c")
    }

    pub(super) fn state(&self) -> State {
        State::create(&self.state_dir(), &Silent, &Interrupt::default()).expect("it can be made")
    }

    /// A node's identity for a bake at `time`, with nobody to ask for a passphrase.
    pub(super) fn identity(&self, node: &str, time: i64) -> Result<NodeIdentity, StateError> {
        self.sign(node, time, &mut || Err(io::Error::other("nobody is there")))
    }

    fn sign(&self, node: &str, time: i64, ask: AskPassphrase<'_>) -> Result<NodeIdentity, StateError> {
        let (node, cluster) = (self.node(node), self.cluster());
        self.state().sign(time, ask, (&Silent, &Interrupt::default()), |locked, authorities| {
            locked.identity(&node, &cluster, authorities)
        })
    }

    /// As [`Self::identity`], with somebody who says `passphrase` and counts, while anybody may take the lock.
    pub(super) fn identity_asking(
        &self,
        node: &str,
        time: i64,
        passphrase: &str,
        count: &mut usize,
    ) -> Result<NodeIdentity, StateError> {
        let mut ask = || {
            *count += 1;
            let impatient = Interrupt::default();
            impatient.request();
            self.state().lock(&Silent, &impatient).expect("nobody's typing holds the lock");
            Ok(Secret::new(passphrase.to_owned()))
        };
        self.sign(node, time, &mut ask)
    }

    /// Runs `pibake keys`; nobody is at the terminal.
    pub(super) fn keys(&self, args: &[&str]) -> Ran {
        self.keys_at(TIME, args)
    }

    /// As [`Self::keys`], at another bake time.
    pub(super) fn keys_at(&self, time: i64, args: &[&str]) -> Ran {
        self.pibake(time, &[&["keys"], args].concat())
    }

    /// Runs the program with a bake time.
    pub(super) fn pibake(&self, time: i64, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_pibake"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("SOURCE_DATE_EPOCH", time.to_string())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("it can be run");
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(super) fn tls(&self, node: &str, time: i64) -> TlsIdentity {
        self.identity(node, time).expect("it can be made").tls.expect("the node has TLS")
    }

    pub(super) fn join(&self, node: &str, time: i64) -> JoinIdentity {
        self.identity(node, time).expect("it can be made").join.expect("the node joins")
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub(super) struct Ran {
    status: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// The run, which must have ended so.
    #[track_caller]
    pub(super) fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}\n{}", self.out, self.err);
        self
    }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g anna";
