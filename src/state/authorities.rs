//! The authorities' private keys: made once, opened when something is to be signed, the passphrase that they are under
//! asked for once, and never with the lock held.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::error::{StateError, corrupt};
use super::lock::LockedState;
use super::{State, private};
use crate::config::types::Secret;
use crate::interrupt::Interrupt;
use crate::keys::authority::Authority;
use crate::keys::certificate::Certificate;
use crate::keys::join::{JoinAuthority, SshKey};
use crate::keys::passphrase;
use crate::progress::Progress;

/// Asks for the passphrase that the keys are under.
pub type AskPassphrase<'a> = &'a mut dyn FnMut() -> io::Result<Secret>;

/// How the authorities' keys are kept. Both are true when a run was killed between one and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// One is under a passphrase.
    pub protected: bool,
    /// One is in clear text.
    pub open: bool,
}

/// What signs, for one run: opened when first needed.
pub struct Authorities {
    /// What somebody said that the passphrase is.
    said: Option<Secret>,
    /// What the keys are under, known by having opened one.
    passphrase: Option<Secret>,
    tls: Option<Authority>,
    join: Option<JoinAuthority>,
    /// The bake time, in seconds since 1970.
    pub(super) time: i64,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("tls", &self.tls)
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Runs what may sign, under the lock, for a bake time (seconds since 1970). When that comes upon keys that are under
    /// a passphrase, the lock is let go while `ask` asks for it, and `run` is run once more from its beginning.
    ///
    /// # Errors
    /// Those of `run`, of [`State::lock`], and when nobody could be asked.
    pub fn sign<T>(
        &self,
        time: i64,
        ask: AskPassphrase<'_>,
        (progress, interrupt): (&dyn Progress, &Interrupt),
        mut run: impl FnMut(&LockedState<'_>, &mut Authorities) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut once = |said| run(&self.lock(progress, interrupt)?, &mut Authorities::new(time, said));
        match once(None) {
            Err(StateError::Protected { path }) => {
                once(Some(ask().map_err(|source| StateError::Passphrase { path, source })?))
            }
            done => done,
        }
    }
}

impl Authorities {
    fn new(time: i64, said: Option<Secret>) -> Self {
        Self { said, passphrase: None, tls: None, join: None, time }
    }

    /// The TLS authority, made if there is none.
    pub(super) fn tls(&mut self, locked: &LockedState<'_>, cluster: &str) -> Result<&Authority, StateError> {
        let opened = match self.tls.take() {
            Some(opened) => opened,
            None => match locked.state.tls_certificate()? {
                Some(certificate) => self.open_tls(locked.state, &certificate)?,
                None => self.make_tls(locked, cluster)?,
            },
        };
        Ok(self.tls.insert(opened))
    }

    /// The SSH authority, made if there is none. Its public key is beside it for those who do not sign.
    pub(super) fn join(&mut self, locked: &LockedState<'_>) -> Result<&JoinAuthority, StateError> {
        let opened = match self.join.take() {
            Some(opened) => opened,
            None => match self.read(locked.state, &locked.state.join_key_path())? {
                Some(key) => open_join(locked, &key)?,
                None => self.make_join(locked)?,
            },
        };
        Ok(self.join.insert(opened))
    }

    /// Makes a new SSH authority in place of the one before.
    fn make_join(&mut self, locked: &LockedState<'_>) -> Result<JoinAuthority, StateError> {
        private::create_dir(&locked.state.join_dir())?;
        let key = SshKey::make("pibake join CA")?.private;
        self.write(locked.state, &locked.state.join_key_path(), &key)?;
        open_join(locked, &key)
    }

    fn open_tls(&mut self, state: &State, certificate: &Certificate) -> Result<Authority, StateError> {
        let path = state.tls_key_path();
        let Some(key) = self.read(state, &path)? else {
            return Err(corrupt(&path, "it is missing; restore it, or say `pibake keys rotate ca`"));
        };
        Authority::open(certificate.pem(), &key)
            .map_err(|error| corrupt(&path, format!("{error}; restore it, or say `pibake keys rotate ca`")))
    }

    fn make_tls(&mut self, locked: &LockedState<'_>, cluster: &str) -> Result<Authority, StateError> {
        // A bake time ahead of the clock must not keep bakes of today out.
        let time = self.time.min(OffsetDateTime::now_utc().unix_timestamp());
        let serial = locked.state.seed().derive("", &format!("TLS CA serial {time}"));
        let made = Authority::make(cluster, time, serial)?;
        self.keep_tls(locked, &made)?;
        Ok(made)
    }

    /// Writes an authority in place of the one before: the key first, for a certificate says that there is a key.
    fn keep_tls(&mut self, locked: &LockedState<'_>, authority: &Authority) -> Result<(), StateError> {
        let state = locked.state;
        private::create_dir(&state.tls_dir())?;
        self.write(state, &state.tls_key_path(), &authority.key())?;
        private::write(&state.tls_certificate_path(), authority.certificate().pem().as_bytes())
    }

    /// A private key's text.
    fn read(&mut self, state: &State, path: &Path) -> Result<Option<Zeroizing<String>>, StateError> {
        let Some(bytes) = private::read(path)? else { return Ok(None) };
        if !passphrase::is_protected(&bytes) {
            return private::read_text(path);
        }
        let Some(said) = &self.said else {
            return Err(StateError::Protected { path: state.dir().to_owned() });
        };
        let text = passphrase::open(&bytes, said.expose())?;
        self.passphrase = Some(said.clone());
        Ok(Some(text))
    }

    /// Writes a private key, under the passphrase if there is one.
    fn write(&mut self, state: &State, path: &Path, key: &str) -> Result<(), StateError> {
        for known in [state.tls_key_path(), state.join_key_path()] {
            // Opening one is how the passphrase is known to be right.
            if self.passphrase.is_none() {
                self.read(state, &known)?;
            }
        }
        write_key(path, key, self.passphrase.as_ref())
    }

    /// Puts both authorities' keys under a passphrase; what is missing is made, so that it cannot come later in clear
    /// text. A run that was killed half-way is finished with the same passphrase.
    ///
    /// # Errors
    /// As [`LockedState::identity`].
    pub fn protect(
        &mut self,
        locked: &LockedState<'_>,
        cluster: &str,
        new: Secret,
    ) -> Result<(), StateError> {
        self.open_both(locked, cluster)?;
        self.passphrase.get_or_insert(new);
        self.write_both(locked.state)
    }

    /// Takes the authorities' keys from under their passphrase.
    ///
    /// # Errors
    /// As [`LockedState::identity`].
    pub fn unprotect(&mut self, locked: &LockedState<'_>, cluster: &str) -> Result<(), StateError> {
        self.open_both(locked, cluster)?;
        self.passphrase = None;
        self.write_both(locked.state)
    }

    fn open_both(&mut self, locked: &LockedState<'_>, cluster: &str) -> Result<(), StateError> {
        self.tls(locked, cluster)?;
        self.join(locked).map(|_| ())
    }

    fn write_both(&self, state: &State) -> Result<(), StateError> {
        if let Some(tls) = &self.tls {
            write_key(&state.tls_key_path(), &tls.key(), self.passphrase.as_ref())?;
        }
        match &self.join {
            Some(join) => write_key(&state.join_key_path(), &join.private()?, self.passphrase.as_ref()),
            None => Ok(()),
        }
    }

    /// Makes a new TLS authority in place of the one before. Whatever the old one signed no longer serves, and is made
    /// anew, keys and all, when it is next asked for.
    ///
    /// # Errors
    /// When the passphrase is wrong, or the state cannot be written.
    pub fn rotate_tls(&mut self, locked: &LockedState<'_>, cluster: &str) -> Result<(), StateError> {
        self.tls = Some(self.make_tls(locked, cluster)?);
        Ok(())
    }

    /// Makes a new SSH authority in place of the one before: its public key as one line. Nodes keep their keys, and get
    /// a certificate of the new authority at their next bake.
    ///
    /// # Errors
    /// As [`Self::rotate_tls`].
    pub fn rotate_join(&mut self, locked: &LockedState<'_>) -> Result<String, StateError> {
        let made = self.make_join(locked)?;
        let public = made.public()?;
        self.join = Some(made);
        Ok(public)
    }

    /// Takes over an authority that was made elsewhere, in place of the one before.
    ///
    /// # Errors
    /// When the bake time is not within its time, or as [`Self::rotate_tls`].
    pub fn import_tls(&mut self, locked: &LockedState<'_>, authority: &Authority) -> Result<(), StateError> {
        authority.certificate().check_time(self.time)?;
        self.tls = None;
        self.keep_tls(locked, authority)
    }
}

impl State {
    pub(super) fn tls_key_path(&self) -> PathBuf {
        self.tls_dir().join("ca-key.pem")
    }

    pub(super) fn tls_certificate_path(&self) -> PathBuf {
        self.tls_dir().join("ca.pem")
    }

    pub(super) fn join_key_path(&self) -> PathBuf {
        self.join_dir().join("ca")
    }

    /// Whether an authority's key is under a passphrase, and whether one is not.
    ///
    /// # Errors
    /// When a file cannot be read, or is open to others.
    pub fn protection(&self) -> Result<Protection, StateError> {
        let mut protection = Protection { protected: false, open: false };
        for path in [self.tls_key_path(), self.join_key_path()] {
            match private::read(&path)?.map(|bytes| passphrase::is_protected(&bytes)) {
                Some(true) => protection.protected = true,
                Some(false) => protection.open = true,
                None => {}
            }
        }
        Ok(protection)
    }

    /// The TLS authority's certificate; `None` when there is none yet.
    ///
    /// # Errors
    /// When it is damaged, or open to others.
    pub fn tls_certificate(&self) -> Result<Option<Certificate>, StateError> {
        read_certificate(&self.tls_certificate_path())
    }
}

/// The SSH authority of a private key, whose public half is put beside it.
fn open_join(locked: &LockedState<'_>, key: &str) -> Result<JoinAuthority, StateError> {
    let path = locked.state.join_key_path();
    let opened = JoinAuthority::open(key).map_err(|error| corrupt(&path, error.to_string()))?;
    locked.write_join_public(&opened.public()?)?;
    Ok(opened)
}

fn write_key(path: &Path, key: &str, under: Option<&Secret>) -> Result<(), StateError> {
    match under {
        Some(secret) => private::write(path, &passphrase::protect(key, secret.expose())?),
        None => private::write(path, key.as_bytes()),
    }
}

/// A certificate's file; `None` when it is not there.
pub(super) fn read_certificate(path: &Path) -> Result<Option<Certificate>, StateError> {
    let Some(text) = private::read_text(path)? else { return Ok(None) };
    Certificate::from_pem(&text).map(Some).map_err(|error| corrupt(path, error.to_string()))
}
