//! The cluster as asked for: every default filled in, every precedence settled, every list in file order.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Serialize;

use super::net::Net;

/// A whole cluster file, resolved.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `[a-z0-9-]`.
    pub name: String,
    /// Where it was read from: a file, or a profile as it is.
    pub source: Source,
    /// The profile it is, or starts from.
    pub profile: Option<ProfileOrigin>,
    /// Directory that relative paths of the file start from.
    pub base_dir: PathBuf,
    /// The nodes, in file order.
    pub nodes: Vec<Node>,
    /// `[swarm]`, when there.
    pub swarm: Option<Swarm>,
    /// Things to tell that are no errors: a plain-string secret, an even number of managers.
    pub warnings: Vec<String>,
}

/// Where a cluster description came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A profile as it is: `--profile NAME`.
    Profile(String),
}

/// The profile that a description is, or starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOrigin {
    /// Its name.
    pub name: String,
    /// The user's own file; `None`: the one embedded in the binary.
    pub file: Option<PathBuf>,
}

/// One `[[node]]`, with everything it inherits.
#[derive(Clone, Debug)]
pub struct Node {
    /// RFC 1123 label.
    pub name: String,
    /// Position in the file, from 0.
    pub index: usize,
    /// The static address.
    pub address: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Its part in the swarm.
    pub role: Role,
    /// The board, when given.
    pub board: Option<Board>,
    /// Labels, by key.
    pub labels: BTreeMap<String, String>,
    /// `[image]`.
    pub image: Image,
    /// `[network]`.
    pub network: Network,
    /// `[user]`.
    pub user: User,
    /// `[[account]]`, the cluster's and then the node's own.
    pub accounts: Vec<Account>,
    /// `[system]`.
    pub system: System,
    /// `[docker]`.
    pub docker: Docker,
    /// `[[overlay]]`, the cluster's and then the node's own.
    pub overlays: Vec<OverlayUse>,
}

/// A node's part in the swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the swarm.
    Manager,
    /// Runs tasks.
    Worker,
    /// Takes no part.
    #[default]
    None,
}

/// Boards that differ in what they can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Board {
    Pi0,
    Pi1,
    Pi2,
    Pi3,
    Pi4,
    Pi5,
    Zero2,
}

/// `[image]`.
#[derive(Clone, Debug)]
pub struct Image {
    /// The base image's file; `None` when neither the file nor the command line names one.
    pub source: Option<PathBuf>,
    /// SHA-256 of the file as published.
    pub sha256: Option<[u8; 32]>,
    /// Size of the card image at least, in bytes.
    pub size: Option<u64>,
    /// Who grows the card at first boot.
    pub first_boot: FirstBoot,
}

/// Who does the work of the first boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstBoot {
    /// Our idempotent unit; the vendor's hook is taken out.
    #[default]
    Pibake,
    /// The vendor's hook stays on.
    Stock,
}

/// `[network]`.
#[derive(Clone, Debug)]
pub struct Network {
    /// `eth0`, or `wlan0` with Wi-Fi.
    pub interface: String,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// At most 3 servers.
    pub dns: Vec<Ipv4Addr>,
    /// Search domains.
    pub search: Vec<String>,
    /// What keeps resolv.conf as it is.
    pub resolv_conf: ResolvConf,
    /// `[network.wifi]`.
    pub wifi: Option<Wifi>,
}

/// What keeps resolv.conf as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolvConf {
    /// A regular file with the ext4 IMMUTABLE flag, its writers quieted.
    #[default]
    Immutable,
    /// A regular file, its writers quieted.
    Static,
    /// Left to the image's network stack, which is given the servers.
    Managed,
}

/// `[network.wifi]`.
#[derive(Clone, Debug)]
pub struct Wifi {
    /// Network name.
    pub ssid: String,
    /// Passphrase (8 to 63 characters) or 64 hex digits.
    pub psk: SecretSource,
    /// ISO 3166 alpha-2.
    pub country: String,
    /// Whether the network hides its name.
    pub hidden: bool,
}

/// `[user]`: the image's uid-1000 account.
#[derive(Clone, Debug)]
pub struct User {
    /// What it is renamed to.
    pub name: String,
    /// Public keys, as lines; files are read already.
    pub authorized_keys: Vec<String>,
    /// Password; `None` locks it.
    pub password: Option<Password>,
    /// What sudo asks.
    pub sudo: Sudo,
}

/// What sudo asks of the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sudo {
    /// Nothing.
    #[default]
    Nopasswd,
    /// The password.
    Password,
}

/// A password, or its hash.
#[derive(Clone, Debug)]
pub enum Password {
    /// To be hashed (sha512crypt) at bake.
    Source(SecretSource),
    /// Hashed already, crypt(5) form.
    Hash(Secret),
}

impl Password {
    /// Whether it is a yescrypt hash (`$y$`), which libcrypt of Buster and older cannot check.
    #[must_use]
    pub fn is_yescrypt(&self) -> bool {
        matches!(self, Password::Hash(hash) if hash.expose().starts_with("$y$"))
    }
}

/// `[[account]]`.
#[derive(Clone, Debug)]
pub struct Account {
    /// Account name.
    pub name: String,
    /// Public keys, as lines.
    pub authorized_keys: Vec<String>,
    /// Further groups.
    pub groups: Vec<String>,
    /// Password; `None` locks it.
    pub password: Option<Password>,
    /// A sudo rule, when given.
    pub sudo: Option<Sudo>,
}

/// `[system]`.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// IANA name.
    pub timezone: Option<String>,
    /// `en_GB.UTF-8`.
    pub locale: Option<String>,
    /// XKB layout.
    pub keymap: Option<String>,
    /// LAN time servers.
    pub ntp: Vec<String>,
    /// Globs of .deb files, as written.
    pub packages: Vec<String>,
    /// Further words of the kernel command line.
    pub cmdline: Vec<String>,
}

/// `[docker]`.
#[derive(Clone, Debug, Default)]
pub struct Docker {
    /// Where Docker comes from.
    pub install: DockerInstall,
    /// Directory of packages.
    pub bundle: Option<PathBuf>,
    /// Mutual TLS on 2376.
    pub tls: bool,
    /// Globs of image archives, as written.
    pub images: Vec<String>,
}

/// Where Docker comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerInstall {
    /// Staged packages.
    Debs,
    /// An apt source.
    Apt,
    /// In the image already, or not wanted.
    #[default]
    None,
}

/// `[swarm]`, as written.
#[derive(Clone, Debug, Default)]
pub struct Swarm {
    /// The network that overlay networks are cut from; `None`: to be chosen clear of the cluster's own.
    pub address_pool: Option<Net>,
    /// Overlay networks to make.
    pub networks: Vec<SwarmNetwork>,
    /// Stacks to deploy.
    pub stacks: Vec<Stack>,
    /// Docker secrets to make, by name, and where each comes from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// For how many days after its bake a card may join.
    pub join_days: u16,
}

/// One of `swarm.networks`.
#[derive(Clone, Debug)]
pub struct SwarmNetwork {
    /// Its name.
    pub name: String,
    /// Whether containers outside services may use it.
    pub attachable: bool,
}

/// One of `swarm.stacks`.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// The compose file.
    pub file: PathBuf,
}

/// `[[overlay]]`.
#[derive(Clone)]
pub struct OverlayUse {
    /// Name of a directory under `overlays/`.
    pub name: String,
    /// Parameters as given.
    pub with: toml::Table,
}

impl fmt::Debug for OverlayUse {
    /// Names only: a parameter may be a secret in clear text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.with.keys().collect();
        f.debug_struct("OverlayUse").field("name", &self.name).field("with", &names).finish()
    }
}

/// Where a secret comes from.
#[derive(Clone)]
pub enum SecretSource {
    /// In the file itself: accepted with a warning.
    Plain(Secret),
    /// Asked at the terminal, once a run.
    Prompt(String),
    /// An environment variable.
    Env(String),
    /// A file; relative to the cluster file. One trailing newline is dropped.
    File(PathBuf),
    /// A program's standard output; one trailing newline is dropped.
    Command(Vec<String>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Plain(_) => f.write_str("Plain(…)"),
            SecretSource::Prompt(text) => write!(f, "Prompt({text:?})"),
            SecretSource::Env(name) => write!(f, "Env({name:?})"),
            SecretSource::File(path) => write!(f, "File({path:?})"),
            SecretSource::Command(words) => write!(f, "Command({:?}, …)", words.first()),
        }
    }
}

/// A secret text: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text: only where it is written to its place.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A node's secrets, asked for and resolved; or, for `plan`, stand-ins of the same shape.
#[derive(Clone, Debug, Default)]
pub struct NodeSecrets {
    /// The crypt(5) hash for `[user]`, when it has a password.
    pub user_hash: Option<Secret>,
    /// The crypt(5) hash of each `[[account]]` with a password, by name.
    pub account_hashes: BTreeMap<String, Secret>,
    /// The pre-shared key as 64 hex digits.
    pub wifi_psk: Option<Secret>,
    /// Secret overlay parameters, by (position in `Node::overlays`, parameter name).
    pub overlay_params: BTreeMap<(usize, String), Secret>,
    /// The secrets of `[swarm.secrets]`, by name; of managers only.
    pub swarm_secrets: BTreeMap<String, Secret>,
}
