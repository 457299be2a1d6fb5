//! What outlives a bake: seed, keys and certificates, receipts; locked, durable, 0700 and 0600.
//!
//! ```text
//! .pibake/.gitignore                    *
//! .pibake/NAME/lock                     held by whoever changes anything below
//!              seed                     32 random bytes in hexadecimal
//!              host_keys/NODE/ssh_host_{ed25519,ecdsa}_key
//!              known_hosts              the operator's
//!              tls/ca.pem, ca-key.pem   the TLS authority; its key may be under a passphrase
//!              tls/nodes/NODE/cert.pem, key.pem
//!              tls/clients/NAME/cert.pem, key.pem
//!              join/ca, ca.pub          the SSH authority for joining; the first may be under a passphrase
//!              join/nodes/NODE/key
//!              join/revoked             public keys that managers refuse
//!              receipts/NODE/TIME-COUNT.json
//!              bakes/NODE.json          the last bake
//! ```
//!
//! The passphrase covers what signs, and nothing else: what cards are given lies on the cards anyway, and `pibake plan`
//! reads it without asking anybody.
//!
//! [`State`] only reads; what changes the state is a method of [`LockedState`]. Readers need no lock: every file
//! appears under its name whole (temporary file, fsync, rename, fsync of the directory).

pub mod identity;

mod authorities;
mod error;
mod existing;
mod export;
mod host_keys;
mod join;
mod known_hosts;
mod lock;
mod platform;
mod private;
mod record;
mod tls;

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

pub use authorities::{AskPassphrase, Authorities, Protection};
pub use error::StateError;
pub use lock::LockedState;
pub use record::{RecordedBake, StoredReceipt};

use crate::config::types::{Cluster, Source};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::seed::Seed;
use error::corrupt;
use lock::Lock;

/// The directory that all states of a directory lie in.
const ROOT: &str = ".pibake";
const HOST_KEYS: &str = "host_keys";
const RECEIPTS: &str = "receipts";
const BAKES: &str = "bakes";
const TLS: &str = "tls";
const JOIN: &str = "join";
/// Where those two keep what is of one node.
const NODES: &str = "nodes";
const CLIENTS: &str = "clients";

/// A cluster's state, opened.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    seed: Seed,
}

impl State {
    /// Where a cluster's state is: `given` (`--state`), or `.pibake/NAME/` beside the cluster file, or under
    /// `cwd` for a profile used as it is.
    #[must_use]
    pub fn locate(cluster: &Cluster, given: Option<&Path>, cwd: &Path) -> PathBuf {
        if let Some(given) = given {
            return cwd.join(given);
        }
        match &cluster.source {
            Source::File(_) => cluster.base_dir.join(ROOT).join(&cluster.name),
            Source::Profile(name) => cwd.join(ROOT).join(name),
        }
    }

    /// Opens a state and creates nothing; `None` when there is none.
    ///
    /// # Errors
    /// When it is open to others, somebody else's, or damaged.
    pub fn open_existing(dir: &Path) -> Result<Option<State>, StateError> {
        if let Some(root) = root_of(dir)
            && !private::check_dir(root)?
        {
            return Ok(None);
        }
        if !private::check_dir(dir)? {
            return Ok(None);
        }
        match read_seed(dir)? {
            Some(seed) => Ok(Some(State { dir: dir.to_owned(), seed })),
            None => Ok(None),
        }
    }

    /// Opens a state, made if there is none. Of two at once, one makes it and both have it.
    ///
    /// # Errors
    /// When it is open to others, somebody else's, damaged, or cannot be written.
    pub fn create(dir: &Path, progress: &dyn Progress, interrupt: &Interrupt) -> Result<State, StateError> {
        if let Some(root) = root_of(dir) {
            private::create_dir(root)?;
        }
        private::create_dir(dir)?;
        let _lock = Lock::take(dir, progress, interrupt)?;
        private::remove_stale(dir)?;
        let ignore = root_of(dir).unwrap_or(dir).join(".gitignore");
        if !ignore.exists() {
            private::write_new(&ignore, b"*\n", dir)?;
        }
        let seed = match read_seed(dir)? {
            Some(seed) => seed,
            None => make_seed(dir)?,
        };
        Ok(State { dir: dir.to_owned(), seed })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The seed that everything normally random is derived from.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    fn host_key_dir(&self, node: &str) -> PathBuf {
        self.dir.join(HOST_KEYS).join(node)
    }

    fn receipt_dir(&self, node: &str) -> PathBuf {
        self.dir.join(RECEIPTS).join(node)
    }

    fn tls_dir(&self) -> PathBuf {
        self.dir.join(TLS)
    }

    fn join_dir(&self) -> PathBuf {
        self.dir.join(JOIN)
    }

    /// Every directory that files are written in.
    fn directories(&self) -> Result<Vec<PathBuf>, StateError> {
        let below = [
            self.dir.join(HOST_KEYS),
            self.dir.join(RECEIPTS),
            self.tls_dir().join(NODES),
            self.tls_dir().join(CLIENTS),
            self.join_dir().join(NODES),
        ];
        let mut all = vec![self.dir.clone()];
        for dir in [self.dir.join(BAKES), self.tls_dir(), self.join_dir()] {
            if private::check_dir(&dir)? {
                all.push(dir);
            }
        }
        for dir in below {
            if private::check_dir(&dir)? {
                let nodes = private::names(&dir)?.into_iter().map(|node| dir.join(node));
                all.extend(nodes.filter(|path| path.is_dir() && !path.is_symlink()));
                all.push(dir);
            }
        }
        Ok(all)
    }
}

/// `.pibake`, when the state lies in one.
fn root_of(dir: &Path) -> Option<&Path> {
    dir.parent().filter(|parent| parent.file_name().is_some_and(|name| name == ROOT))
}

fn seed_path(dir: &Path) -> PathBuf {
    dir.join("seed")
}

/// The seed; `None` when the state is new. Keys without their seed are no new state.
fn read_seed(dir: &Path) -> Result<Option<Seed>, StateError> {
    let path = seed_path(dir);
    let Some(text) = private::read_text(&path)? else {
        for keys in [HOST_KEYS, TLS, JOIN] {
            if !private::names(&dir.join(keys))?.is_empty() {
                return Err(corrupt(&path, "it is missing, but keys are there; restore it from a backup"));
            }
        }
        return Ok(None);
    };
    let bytes = HEXLOWER.decode(text.trim_end().as_bytes()).map(Zeroizing::new).ok();
    match bytes.as_deref().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()) {
        Some(seed) => Ok(Some(Seed::new(seed))),
        None => Err(corrupt(&path, "it is not 64 hexadecimal digits; restore it from a backup")),
    }
}

fn make_seed(dir: &Path) -> Result<Seed, StateError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| StateError::Random(error.to_string()))?;
    let text = Zeroizing::new(format!("{}\n", HEXLOWER.encode(bytes.as_slice())));
    private::write(&seed_path(dir), text.as_bytes())?;
    Ok(Seed::new(*bytes))
}
