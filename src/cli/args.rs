//! The command line's types, and nothing else: help, man page and completions are generated from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::fetch::archives::Mirror;
use crate::fetch::sources::Archive;
use crate::node::request::Unit;

/// Bakes Raspberry Pi cards: one stock image and one cluster file in, proven cards out.
#[derive(Debug, Parser)]
#[command(name = "pibake", version, max_term_width = 80, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  pibake demo\n  pibake init single\n  pibake flash --node pi1 /dev/sdb\n\n\
    Exit status: 0 done, 1 failed, 2 usage or cluster file wrong, 3 target refused,\n\
    4 the card does not hold what it should, 130 interrupted."
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The cluster file
    #[arg(short, long, global = true, env = "PIBAKE_CLUSTER", hide_env_values = true, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// A built-in or own profile as it is, in place of a cluster file
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "cluster")]
    pub profile: Option<String>,
    /// The base image, in place of the cluster file's
    #[arg(long, global = true, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Where secrets, host keys and receipts are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Holds the passphrase of the cluster's keys
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// One JSON document on standard output, progress as JSON lines
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Which nodes.
#[derive(Clone, Debug, Default, Args)]
#[group(required = true, multiple = false)]
pub struct NodeArgs {
    /// These nodes, by name
    #[arg(long = "node", value_name = "NAME,...", value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// Every node of the cluster file
    #[arg(long)]
    pub all: bool,
}

/// The swarm's managers.
#[derive(Clone, Debug, Default, Args)]
pub struct SwarmArgs {
    /// Exactly two managers are meant
    #[arg(long)]
    pub allow_two_managers: bool,
    /// Whether the first manager's card may create the swarm; else by what was baked before
    #[arg(long, value_name = "PART", value_enum)]
    pub swarm: Option<SwarmPart>,
}

/// What the first manager's card may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SwarmPart {
    /// Create the swarm, if no other manager is in one
    Create,
    /// Join the swarm there is, and wait for it
    Join,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bake and flash a built-in demo node into files of its own
    ///
    /// Needs nothing but this program: the base image is a small one shaped like Raspberry Pi OS that is
    /// built in. Shows what was written and proves it.
    #[command(after_help = "Example:\n  pibake demo --dir /tmp/demo")]
    Demo {
        /// Where to put the files
        #[arg(long, value_name = "DIR", default_value = "pibake-demo")]
        dir: PathBuf,
    },
    /// Write a commented cluster file and the state; without PROFILE, list them
    #[command(after_help = "Examples:\n  pibake init\n  pibake init swarm --dir ~/swarm")]
    Init {
        /// The profile to start from
        profile: Option<String>,
        /// Where to put them
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Show what would be written, file by file, and why; secrets redacted
    #[command(after_help = "Examples:\n  pibake plan --all\n  \
        pibake plan --node pi1 -v     with the content of small files")]
    Plan {
        #[command(flatten)]
        #[allow(missing_docs)]
        nodes: NodeArgs,
        #[command(flatten)]
        #[allow(missing_docs)]
        swarm: SwarmArgs,
    },
    /// Bake card images into files
    #[command(after_help = "Examples:\n  pibake bake --all -o cards\n  \
        pibake bake --node pi1,pi2 --format img.zst")]
    Bake {
        #[command(flatten)]
        #[allow(missing_docs)]
        nodes: NodeArgs,
        /// Where to put them
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        output: PathBuf,
        /// What kind of file
        #[arg(long, value_enum, default_value = "img")]
        format: Format,
        #[command(flatten)]
        #[allow(missing_docs)]
        swarm: SwarmArgs,
    },
    /// Bake, write and verify cards
    ///
    /// The first node goes to the first device, and so on; all are written at once, each at its own speed.
    /// With fewer devices than nodes the next cards are asked for. Everything on the cards is lost: what they
    /// hold is shown first, and nothing is written before you have typed yes.
    #[command(after_help = "Examples:\n  sudo pibake flash --node pi1 /dev/sdb\n  \
        sudo pibake flash --all /dev/sdb /dev/sdc\n  \
        sudo pibake flash --all --skip-done /dev/sdb   one reader, card after card\n  \
        pibake flash --node pi1 card.img     a file of the card's size")]
    Flash(FlashArgs),
    /// Write an image or a backup to a card, with proof
    ///
    /// Takes any image that `inspect` takes. What is in use of it is written, read back and compared, by the
    /// same rules as `flash`. A backup is checked against what was recorded with it before the card is touched.
    /// On a larger card a system grows that does not grow by itself; for a smaller one it is shrunk, with
    /// resize2fs, if its files fit.
    ///
    /// With --node it becomes that node of the cluster file: name, address, keys and whatever else no two machines may
    /// share are replaced, and all else stays. A node's own card stays the same machine and the same member of the swarm;
    /// another's joins like a new one. What still names the old one in /etc is listed.
    #[command(after_help = "Examples:\n  sudo pibake restore pi1.img.zst /dev/sdb\n  \
        sudo pibake restore 2024-11-19-raspios-bookworm-arm64-lite.img.xz /dev/sdb\n  \
        sudo pibake restore pi3.img.zst /dev/sdb --node pi4     a card like pi3's\n  \
        pibake restore pi1.img.zst card.img     a file of the card's size")]
    Restore(RestoreArgs),
    /// Read a card back against the receipt of its flash, or against a new bake
    ///
    /// Reads everything in use from the card itself and compares it with what was written; nothing is ever
    /// written. A card that was mounted or booted since is told so, and its injected files are checked one
    /// by one. Secret files are looked for and not read.
    #[command(after_help = "Examples:\n  sudo pibake verify --node pi1 /dev/sdb\n  \
        pibake verify --node pi1 card.img\n  \
        sudo pibake verify --node pi1 --fresh /dev/sdb    no receipt needed")]
    Verify(VerifyArgs),
    /// Take what is in use of a card, an image file or a running node as a backup
    ///
    /// Writes three files: NAME.img.zst, which `zstd -dc` unpacks to the whole image, NAME.img.bmap for
    /// `bmaptool copy`, and NAME.json, which says what it is a backup of. Free space and swap are left out.
    /// The card is only read; a filesystem that contradicts itself is refused.
    ///
    /// A running node is read over your own ssh while it works. Its filesystem is frozen only for what changed
    /// meanwhile, and the node thaws it by itself should the connection break. Nothing is installed on it.
    #[command(after_help = "Examples:\n  sudo pibake capture /dev/sdb\n  \
        pibake capture --node pi3\n  \
        pibake capture pi@192.168.1.13 --stop docker.service\n  \
        sudo pibake capture /dev/sdb -o pi3-2026-11-30.img.zst\n  \
        sudo pibake capture /dev/sdb --rescue     what of a dying card can be read\n  \
        pibake capture card.img -o card.img.zst")]
    Capture(CaptureArgs),
    /// Show which cards may be written, and why other disks may not
    #[command(after_help = "Examples:\n  pibake devices\n  pibake devices --json")]
    Devices,
    /// Show partitions, filesystems, system, identity, and what pibake put there
    #[command(after_help = "Examples:\n  pibake inspect 2024-11-19-raspios-bookworm-arm64-lite.img.xz\n  \
        sudo pibake inspect /dev/sdb\n  \
        pibake inspect pi3-2026-11-30.img.zst     what it is a backup of")]
    Inspect {
        /// An image, packed or not, a device or a backup
        #[arg(value_name = "IMAGE|DEVICE|BACKUP")]
        target: PathBuf,
    },
    /// Download a bundle of .debs that the image lacks, signatures checked
    ///
    /// Takes the image of the cluster file, what is installed in it, and the archives of its own apt sources;
    /// their signatures are checked with its own keyrings. `docker` means Debian's docker.io and what belongs
    /// to it, `docker-ce` Docker's own packages. What was fetched is kept: a second run fetches no package.
    #[command(after_help = "Examples:\n  pibake fetch docker\n  \
        pibake fetch nfs-common --image raspios.img.xz -o debs\n  \
        pibake fetch docker \\\n    \
        --mirror http://deb.debian.org=http://cache.lan:3142/deb.debian.org\n  \
        pibake fetch docker-ce --keyring docker.asc \\\n    \
        --archive 'https://download.docker.com/linux/debian bookworm stable'")]
    Fetch(FetchArgs),
    /// Ask the running nodes over ssh whether they are what was baked
    ///
    /// Changes nothing on them. They are known by the host keys that were baked; your own ssh with your own
    /// keys asks, and nobody is asked for a password.
    #[command(after_help = "Examples:\n  pibake check --all\n  \
        pibake check --node pi1 -v    with everything that was compared")]
    Check {
        #[command(flatten)]
        #[allow(missing_docs)]
        nodes: NodeArgs,
        /// An ssh configuration in place of your own
        #[arg(long, value_name = "FILE")]
        ssh_config: Option<PathBuf>,
    },
    /// Show, export, rotate, revoke, import and protect the cluster's keys
    #[command(after_help = "Examples:\n  pibake keys show\n  pibake keys export ~/.docker/lab\n  \
        pibake keys revoke pi2")]
    Keys {
        /// What to do with them
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Print completions for a shell
    #[command(after_help = "Example:\n  \
        pibake completions bash > ~/.local/share/bash-completion/completions/pibake")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  pibake man > pibake.1")]
    Man,
}

/// What to do with the cluster's keys.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Show subjects, fingerprints and ends; makes nothing and asks for nothing
    Show,
    /// Write a client's certificate where docker finds it, and say how to use it
    #[command(after_help = "Example:\n  pibake keys export --client ci ~/ci-docker")]
    Export {
        /// The client; made if there is none of that name
        #[arg(long, value_name = "NAME", default_value = "operator")]
        client: String,
        /// The directory; ca.pem, cert.pem and key.pem are written into it
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make new keys in place of old ones, and say which cards must be flashed again
    #[command(after_help = "Examples:\n  pibake keys rotate ca\n  pibake keys rotate join\n  \
        pibake keys rotate node pi1\n  pibake keys rotate client operator")]
    Rotate {
        /// Whose keys
        #[command(subcommand)]
        what: Rotated,
    },
    /// Make a certificate for a further client
    AddClient {
        /// Its name: letters, digits, `.`, `_` and `-`
        name: String,
    },
    /// Refuse the join key of a node from now on, and say what to put on the managers
    #[command(after_help = "Example:\n  pibake keys revoke pi2     its card was lost")]
    Revoke {
        /// The node, in the cluster file or not
        node: String,
    },
    /// Use an existing TLS CA in place of one of pibake's own
    #[command(after_help = "Example:\n  pibake keys import ca.pem ca-key.pem")]
    Import {
        /// The CA's certificate, PEM
        #[arg(value_name = "CA.pem")]
        certificate: PathBuf,
        /// Its private key, PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted
        #[arg(value_name = "KEY.pem")]
        key: PathBuf,
        /// Accept a CA that could sign more than servers and clients
        #[arg(long)]
        accept_node_keys: bool,
    },
    /// Put the private keys of both CAs under a passphrase, asked for when something is signed
    Protect,
    /// Take them from under the passphrase
    Unprotect,
}

/// Whose keys are made anew.
#[derive(Debug, Subcommand)]
pub enum Rotated {
    /// The TLS CA's, and with it those of every node and client
    Ca,
    /// The join CA's, which managers trust to let nodes in
    Join,
    /// Those of a node's dockerd
    Node {
        /// The node
        name: String,
    },
    /// Those of a client
    Client {
        /// The client
        name: String,
    },
}

/// Which nodes go to which cards.
#[derive(Clone, Debug, Default, Args)]
pub struct FlashArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub nodes: NodeArgs,
    /// The cards: whole disks such as /dev/sdb, or existing regular files
    #[arg(value_name = "DEVICE", required = true)]
    pub devices: Vec<PathBuf>,
    /// Leave out nodes that have a verified card of the same plan
    #[arg(long)]
    pub skip_done: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub card: CardArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub swarm: SwarmArgs,
}

/// What is written to which card.
#[derive(Clone, Debug, Default, Args)]
pub struct RestoreArgs {
    /// An image, packed or not, or a backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The card: a whole disk such as /dev/sdb, or an existing regular file
    #[arg(value_name = "DEVICE")]
    pub device: PathBuf,
    /// Write it unchanged, whatever the card's size
    #[arg(long)]
    pub as_is: bool,
    /// Give it this node's identity in the place of the captured one
    #[arg(long, value_name = "NAME", conflicts_with = "as_is")]
    pub node: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub swarm: SwarmArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub card: CardArgs,
}

/// Which card holds which node, and what it is compared with.
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// The node, by name
    #[arg(long, value_name = "NAME")]
    pub node: String,
    /// The card: a whole disk such as /dev/sdb, or a regular file
    #[arg(value_name = "DEVICE")]
    pub device: PathBuf,
    /// Compare its files with a new bake instead of its bytes with a receipt
    #[arg(long)]
    pub fresh: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub swarm: SwarmArgs,
}

/// What to take a backup of, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct CaptureArgs {
    /// A whole disk such as /dev/sdb, an image file, or a running node as ssh knows it
    #[arg(value_name = "DEVICE|FILE|USER@HOST", required_unless_present = "node", conflicts_with = "node")]
    pub target: Option<PathBuf>,
    /// A running node of the cluster file
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// The archive to write, NAME.img.zst; without it, the hostname and the date
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Try smaller parts of what cannot be read, leave out the rest, and go on
    #[arg(long, conflicts_with_all = ["node", "stop", "freeze_limit", "compress", "ssh_config"])]
    pub rescue: bool,
    /// How a running node is captured.
    #[command(flatten)]
    pub live: LiveArgs,
}

/// How a running node is captured.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Running nodes")]
pub struct LiveArgs {
    /// Stop this unit while the filesystem is frozen, and start it again
    #[arg(long, value_name = "UNIT")]
    pub stop: Vec<Unit>,
    /// Never freeze it for longer than so many seconds; 60 without it
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    pub freeze_limit: Option<u64>,
    /// Where what is read is compressed: on the node for a slow network
    #[arg(long, value_name = "WHERE", value_enum)]
    pub compress: Option<Compress>,
    /// An ssh configuration in place of your own
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}

impl LiveArgs {
    /// Whether any was given.
    #[must_use]
    pub fn any(&self) -> bool {
        let Self { stop, freeze_limit, compress, ssh_config } = self;
        !stop.is_empty() || freeze_limit.is_some() || compress.is_some() || ssh_config.is_some()
    }
}

/// Who compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    /// This machine
    Local,
    /// The node
    Remote,
}

/// Which cards may be written, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct CardArgs {
    /// Unmount the card's filesystems first
    #[arg(long)]
    pub unmount: bool,
    /// Allow a disk that is not removable; with --yes, only the one of this serial or model
    #[arg(long, value_name = "SERIAL", num_args = 0..=1, require_equals = true)]
    pub allow_fixed: Option<Option<String>>,
    /// Write what the card holds already, too
    #[arg(long)]
    pub rewrite: bool,
    /// Write free blocks too: of what the image covers, nothing old is left
    #[arg(long)]
    pub all_blocks: bool,
    /// Have the reader let go of the card when it is done
    #[arg(long)]
    pub eject: bool,
}

/// What to fetch, and from where.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Packages by name, `docker` or `docker-ce`
    #[arg(required = true, value_name = "docker|PACKAGE")]
    pub packages: Vec<String>,
    /// Where to put them: without it, Docker to the cluster file's `bundle` or docker-debs/, others to debs/
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Another archive, beside the image's own
    #[arg(long = "archive", value_name = "URI SUITE COMPONENT...")]
    pub archives: Vec<Archive>,
    /// OpenPGP keys that sign those; without it, any that the image trusts
    #[arg(long = "keyring", value_name = "FILE", requires = "archives")]
    pub keyrings: Vec<PathBuf>,
    /// Take what begins with OLD from NEW: a nearer mirror, a cache, an archive that has moved
    #[arg(long = "mirror", value_name = "OLD=NEW")]
    pub mirrors: Vec<Mirror>,
    /// Do without an archive of the image: the beginning of its URI, or 'URI SUITE'
    #[arg(long, value_name = "URI")]
    pub without: Vec<String>,
    /// Take archives whose Release file or key has run out, as those of ended releases have
    #[arg(long)]
    pub allow_expired: bool,
}

/// The form of a baked file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A raw image, with holes where it is empty
    #[value(name = "img")]
    Img,
    /// zstd frames with a seek table
    #[value(name = "img.zst")]
    ImgZst,
}
