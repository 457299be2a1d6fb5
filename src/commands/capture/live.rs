//! A running node, captured as one instant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::backup::archive::{ArchiveJob, ArchiveWriter, Unreadable};
use crate::backup::manifest::{About, Manifest, Origin};
use crate::backup::names::Names;
use crate::cli::args::{CaptureArgs, Compress, LiveArgs};
use crate::cli::progress::quiet;
use crate::cli::prompt;
use crate::config::types::Node;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode};
use crate::live::error::LiveError;
use crate::live::{self, Order, Taken};
use crate::node::link::{Link, LinkError, Terms};
use crate::node::packing::Pack;
use crate::node::ssh::{To, Way};
use crate::sink::outfile::OutFile;
use crate::sink::receipt::stamp;

use super::super::context::Context;
use super::super::prepare;
use super::content::{Content, Doubts, swap_files_of};
use super::report::{self, Captured};
use super::{output, settled, trouble};

/// How long a filesystem may stay frozen, in seconds: less than systemd waits for a journald that cannot write.
const FREEZE_LIMIT: u64 = 60;

/// Who is captured.
pub(super) enum Peer {
    /// A node of the cluster file, and the state's `known_hosts`.
    Node(Box<Node>, PathBuf),
    /// As ssh knows it.
    Host(String),
}

impl Peer {
    /// The node of that name, and what it is known by.
    pub(super) fn node(context: &Context, name: &str) -> anyhow::Result<Self> {
        let (cluster, node) = prepare::one_node(context, name)?;
        let state = prepare::state_that_baked(context, &cluster)?;
        Ok(Self::Node(Box::new(node), context.cwd.join(state.known_hosts())))
    }

    fn name(&self) -> &str {
        match self {
            Self::Node(node, _) => &node.name,
            Self::Host(host) => host,
        }
    }

    /// What its backup is called.
    fn hostname(&self) -> &str {
        match self {
            Self::Node(node, _) => &node.name,
            Self::Host(host) => host.rsplit_once('@').map_or(host, |(_, host)| host),
        }
    }

    fn to(&self) -> To<'_> {
        match self {
            Self::Node(node, known_hosts) => To::Node { node, known_hosts },
            Self::Host(host) => To::Host(host),
        }
    }

    fn origin(&self, taken: &Taken) -> Origin {
        let (host, user, node) = match self {
            Self::Node(node, _) => {
                (node.address.to_string(), Some(node.user.name.clone()), Some(node.name.clone()))
            }
            Self::Host(host) => {
                let user = host.rsplit_once('@').map(|(user, _)| user.to_owned());
                (self.hostname().to_owned(), user, None)
            }
        };
        Origin::Node {
            host,
            user,
            node,
            device: format!("/dev/{}", taken.facts.disk),
            frozen_ms: u64::try_from(taken.frozen.as_millis()).unwrap_or(u64::MAX),
            passes: taken.passes,
            read: taken.read,
            read_frozen: taken.read_frozen,
        }
    }
}

pub(super) fn capture_node(context: &Context, args: &CaptureArgs, peer: &Peer) -> anyhow::Result<()> {
    let names = output::choose(args.output.as_deref(), Some(peer.hostname()), &context.cwd)?;
    output::check(context, &names, &[])?;
    let spool = spool(&names)?;
    let began = SystemTime::now();
    let taken = take(context, &args.live, peer, &spool)?;
    tell(context, peer.name(), &taken);
    let image = settled::settle(spool.written()?, &taken.used, began)
        .with_context(|| format!("bringing what was captured of {} to rest", peer.name()))
        .advise(ExitCode::Failed, "try again")?;
    let blocks: Arc<dyn BlockRead> = image.blocks;
    let content = Content::look(context, peer.name(), &blocks, Doubts::Refused)?;
    image.covers.check(&content.used)?;
    let (name, archive) = (names.name.clone(), names.archive.clone());
    let job = ArchiveJob {
        image: &blocks,
        used: &content.used,
        unreadable: Unreadable::Fails,
        subject: peer.name(),
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    let failed = |error| trouble::advise(error, peer.name(), &blocks);
    let written = ArchiveWriter::create(names).and_then(|files| files.write(&job)).map_err(failed)?;
    let finished = SystemTime::now();
    let about = About {
        name,
        started: stamp(began),
        finished: stamp(finished),
        source: peer.origin(&taken),
        holds: content.survey,
        notes: content.notes.into_iter().chain(image.notes).collect(),
        holes: Vec::new(),
    };
    let manifest = Manifest::new(about, written.archived());
    written.publish(&manifest).map_err(failed)?;
    let took = finished.duration_since(began).unwrap_or_default();
    report::tell(context, &Captured { archive: &archive, manifest: &manifest, took })
}

/// Where what was read is kept meanwhile: a hidden file beside the backup, for its owner only, gone in the end.
fn spool(names: &Names) -> anyhow::Result<OutFile> {
    let path = names.archive.with_file_name(format!("{}.spool", names.name));
    OutFile::create(&path, true).advise(ExitCode::Failed, "see to the directory and its free space")
}

fn take(context: &Context, args: &LiveArgs, peer: &Peer, spool: &OutFile) -> anyhow::Result<Taken> {
    let limit = Duration::from_secs(args.freeze_limit.unwrap_or(FREEZE_LIMIT));
    let pack = if args.compress == Some(Compress::Remote) { Pack::Auto } else { Pack::None };
    let ssh_config = args.ssh_config.as_ref().map(|file| context.cwd.join(file));
    let way = Way {
        ssh_config: ssh_config.as_deref(),
        command: &|program| context.invoker.command(&[program.to_owned()]),
    };
    let password = || prompt::secret(&format!("sudo's password on {}", peer.name()));
    let doing = || format!("capturing {}", peer.name());
    let link = {
        // ssh asks at the same terminal
        let _quiet = quiet();
        Link::open(&way, peer.to(), &Terms::new(limit, pack), &password, &context.interrupt)
    };
    let link = link.map_err(|error: LinkError| advised(error.into(), doing()))?;
    let order = Order {
        stop: &args.stop,
        limit,
        swap_files: &swap_files_of,
        subject: peer.name(),
        progress: &context.progress,
    };
    let file = spool.file().try_clone().context("keeping what is read")?;
    live::take(link, file, &order).map_err(|error| advised(error, doing()))
}

fn advised(error: LiveError, doing: String) -> anyhow::Error {
    let advice = error.advice();
    crate::error::advise(ExitCode::Failed, anyhow::Error::new(error).context(doing), advice)
}

fn tell(context: &Context, name: &str, taken: &Taken) {
    if let Some(why) = &taken.hashed {
        context.note(format!("{name}: what had changed was found by hashing, because {why}"));
    }
    context.warn(&taken.warnings);
    context.note(format!(
        "{name}: read in {} {}, {} MiB in all; frozen for {:.2} s, for {} MiB of them",
        taken.passes,
        if taken.passes == 1 { "pass" } else { "passes" },
        taken.read >> 20,
        taken.frozen.as_secs_f64(),
        taken.read_frozen.div_ceil(1 << 20),
    ));
}
