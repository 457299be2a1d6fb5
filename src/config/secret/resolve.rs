//! Fetching secrets: each source once a run, nothing asked at the terminal while something else is missing,
//! and everything missing told in one message.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::derive::{check_password, check_psk, hash_password, wifi_psk};
use crate::config::paths;
use crate::config::types::{Node, NodeSecrets, Password, Secret, SecretSource};
use crate::seed::Seed;

/// The length of what [`hash_password`] makes.
const HASH_LENGTH: usize = "$6$rounds=5000$".len() + 16 + "$".len() + 86;

/// Asks a person.
pub trait Ask {
    /// Whether there is a person to ask: a terminal.
    fn available(&self) -> bool;

    /// Shows `text` and takes a secret.
    ///
    /// # Errors
    /// When there is no terminal, or it was closed.
    fn prompt(&mut self, text: &str) -> io::Result<Secret>;
}

/// Where secrets come from besides a person; under sudo all of it belongs to the invoking user.
pub trait Outside {
    /// The value of an environment variable; `None` when it is not set or no text.
    fn variable(&mut self, name: &str) -> Option<Secret>;

    /// A small file's text, and whether others than its owner may read it.
    ///
    /// # Errors
    /// When it cannot be read or is no text.
    fn file(&mut self, path: &Path) -> io::Result<(Secret, bool)>;

    /// Standard output of a program that must end well.
    ///
    /// # Errors
    /// When it cannot be started, fails, or prints no text.
    fn command(&mut self, words: &[String]) -> io::Result<Secret>;
}

/// A node and what is to be resolved for it.
pub struct Request<'a> {
    /// The node.
    pub node: &'a Node,
    /// Secret overlay parameters: position in `Node::overlays`, parameter name, source.
    pub overlay_params: Vec<(usize, String, SecretSource)>,
    /// The secrets of `[swarm.secrets]`; of managers only.
    pub swarm_secrets: &'a BTreeMap<String, SecretSource>,
}

/// Every secret that could not be had; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretErrors(Vec<String>);

impl SecretErrors {
    /// One line each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for SecretErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SecretErrors {}

/// Fetches secrets and remembers them until it is dropped.
pub struct Resolver<'a> {
    ask: &'a mut dyn Ask,
    outside: &'a mut dyn Outside,
    base_dir: PathBuf,
    home: PathBuf,
    fetched: BTreeMap<Key, Result<Secret, String>>,
    warnings: Vec<String>,
}

/// What makes two sources the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Prompt(String),
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

/// A secret that some node wants.
struct Wanted<'s> {
    /// Whose it is, for errors.
    whose: String,
    source: &'s SecretSource,
    /// Whether a text can be such a secret.
    check: fn(&Secret) -> Result<(), String>,
}

impl<'a> Resolver<'a> {
    /// `base_dir` is where relative paths start from, `home` stands for `~`.
    pub fn new(ask: &'a mut dyn Ask, outside: &'a mut dyn Outside, base_dir: &Path, home: &Path) -> Self {
        Self {
            ask,
            outside,
            base_dir: base_dir.to_owned(),
            home: home.to_owned(),
            fetched: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Fetches everything that these nodes want and looks whether it fits; nothing is derived yet, so no
    /// state is needed. What can be had without a person is fetched first: nobody types a passphrase into a
    /// run that fails for want of a file.
    ///
    /// # Errors
    /// Everything that is missing or unfit.
    pub fn fetch(&mut self, requests: &[Request<'_>]) -> Result<(), SecretErrors> {
        let wanted: Vec<Wanted<'_>> = requests.iter().flat_map(wanted_by).collect();
        let asks = self.ask.available();
        let (later, first): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|wanted| asks && matches!(wanted.source, SecretSource::Prompt(_)));
        self.fetch_all(&first)?;
        self.fetch_all(&later)
    }

    /// Fetches everything and makes of it what the nodes' cards hold, in the order of the nodes.
    ///
    /// # Errors
    /// Everything that is missing or unfit.
    pub fn resolve(
        &mut self,
        requests: &[Request<'_>],
        seed: &Seed,
    ) -> Result<Vec<NodeSecrets>, SecretErrors> {
        self.fetch(requests)?;
        let derived = requests.iter().map(|request| self.derive(request, seed));
        derived.collect::<Result<_, _>>().map_err(|message| SecretErrors(vec![message]))
    }

    /// What a person should know about how secrets are kept; each once.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn fetch_all(&mut self, wanted: &[Wanted<'_>]) -> Result<(), SecretErrors> {
        let mut errors = Vec::new();
        for Wanted { whose, source, check } in wanted {
            if let Err(message) = self.fetch_one(source).and_then(|secret| check(&secret)) {
                errors.push(format!("{whose}: {message}"));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(unique(errors)) }
    }

    fn fetch_one(&mut self, source: &SecretSource) -> Result<Secret, String> {
        let key = match source {
            SecretSource::Plain(secret) => return Ok(secret.clone()),
            SecretSource::Prompt(text) => Key::Prompt(text.clone()),
            SecretSource::Env(name) => Key::Env(name.clone()),
            SecretSource::File(path) => Key::File(paths::resolve(path, &self.base_dir, &self.home)),
            SecretSource::Command(words) => Key::Command(words.clone()),
        };
        if let Some(known) = self.fetched.get(&key) {
            return known.clone();
        }
        let result = self.fetch_new(&key);
        self.fetched.insert(key, result.clone());
        result
    }

    fn fetch_new(&mut self, key: &Key) -> Result<Secret, String> {
        match key {
            Key::Prompt(text) if !self.ask.available() => {
                Err(format!("there is no terminal to ask for {text:?}"))
            }
            Key::Prompt(text) => {
                self.ask.prompt(text).map_err(|error| format!("cannot ask for {text:?}: {error}"))
            }
            Key::Env(name) => self
                .outside
                .variable(name)
                .ok_or_else(|| format!("the environment variable {name} is not set")),
            Key::File(path) => {
                let (secret, open) = self
                    .outside
                    .file(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                if open {
                    let path = path.display();
                    self.warnings
                        .push(format!("{path} holds a secret and others may read it; chmod 600 {path}"));
                }
                Ok(without_newline(&secret))
            }
            Key::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                let secret =
                    self.outside.command(words).map_err(|error| format!("cannot run {program}: {error}"))?;
                Ok(without_newline(&secret))
            }
        }
    }

    /// Makes of what was fetched, and fits, what the node's card holds.
    fn derive(&mut self, request: &Request<'_>, seed: &Seed) -> Result<NodeSecrets, String> {
        let node = request.node;
        let mut secrets = NodeSecrets::default();
        if let Some(password) = &node.user.password {
            secrets.user_hash = Some(self.hash(password, seed, &node.name, &node.user.name)?);
        }
        for account in &node.accounts {
            if let Some(password) = &account.password {
                let hash = self.hash(password, seed, &node.name, &account.name)?;
                secrets.account_hashes.insert(account.name.clone(), hash);
            }
        }
        if let Some(wifi) = &node.network.wifi {
            secrets.wifi_psk = Some(wifi_psk(&self.fetch_one(&wifi.psk)?, &wifi.ssid)?);
        }
        for (index, name, source) in &request.overlay_params {
            secrets.overlay_params.insert((*index, name.clone()), self.fetch_one(source)?);
        }
        for (name, source) in request.swarm_secrets {
            secrets.swarm_secrets.insert(name.clone(), self.fetch_one(source)?);
        }
        Ok(secrets)
    }

    fn hash(
        &mut self,
        password: &Password,
        seed: &Seed,
        node: &str,
        account: &str,
    ) -> Result<Secret, String> {
        match password {
            Password::Hash(hash) => Ok(hash.clone()),
            Password::Source(source) => hash_password(&self.fetch_one(source)?, seed, node, account),
        }
    }
}

/// Stand-ins of the same shape, for `pibake plan`, which asks for no secret.
#[must_use]
pub fn placeholders(request: &Request<'_>) -> NodeSecrets {
    // Of the true lengths, so that a plan counts the same blocks.
    let stand_in = || Secret::new("(secret)".to_owned());
    let hash = || Secret::new(format!("{:*<HASH_LENGTH$}", "(secret)"));
    let node = request.node;
    NodeSecrets {
        user_hash: node.user.password.as_ref().map(|_| hash()),
        account_hashes: node
            .accounts
            .iter()
            .filter(|account| account.password.is_some())
            .map(|account| (account.name.clone(), hash()))
            .collect(),
        wifi_psk: node.network.wifi.as_ref().map(|_| Secret::new("0".repeat(64))),
        overlay_params: request
            .overlay_params
            .iter()
            .map(|(index, name, _)| ((*index, name.clone()), stand_in()))
            .collect(),
        swarm_secrets: request.swarm_secrets.keys().map(|name| (name.clone(), stand_in())).collect(),
    }
}

fn wanted_by<'s>(request: &'s Request<'_>) -> Vec<Wanted<'s>> {
    fn password<'s>(name: &str, password: Option<&'s Password>) -> Option<Wanted<'s>> {
        match password {
            Some(Password::Source(source)) => {
                Some(Wanted { whose: format!("password of {name}"), source, check: check_password })
            }
            _ => None,
        }
    }
    let node = request.node;
    let mut wanted = Vec::new();
    wanted.extend(password(&node.user.name, node.user.password.as_ref()));
    wanted.extend(
        node.accounts.iter().filter_map(|account| password(&account.name, account.password.as_ref())),
    );
    wanted.extend(node.network.wifi.as_ref().map(|wifi| Wanted {
        whose: format!("psk of the Wi-Fi network {}", wifi.ssid),
        source: &wifi.psk,
        check: check_psk,
    }));
    wanted.extend(request.overlay_params.iter().map(|(index, name, source)| {
        let overlay = node.overlays.get(*index).map_or("?", |overlay| overlay.name.as_str());
        // An overlay's manifest says what fits.
        Wanted { whose: format!("parameter {name} of overlay {overlay}"), source, check: |_| Ok(()) }
    }));
    wanted.extend(request.swarm_secrets.iter().map(|(name, source)| Wanted {
        whose: format!("swarm secret {name}"),
        source,
        check: |_| Ok(()),
    }));
    wanted
}

/// Drops one trailing newline: editors and `echo` end with one that is not part of the secret.
fn without_newline(secret: &Secret) -> Secret {
    let text = secret.expose();
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    Secret::new(text.to_owned())
}

fn unique(errors: Vec<String>) -> SecretErrors {
    let mut seen = BTreeSet::new();
    SecretErrors(errors.into_iter().filter(|error| seen.insert(error.clone())).collect())
}
