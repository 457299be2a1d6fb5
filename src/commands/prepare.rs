//! From the command line to plans: what every command that looks at nodes goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;

use crate::cli::args::{NodeArgs, SwarmArgs, SwarmPart};
use crate::cli::prompt;
use crate::config::overlay::{self, LoadedOverlay};
use crate::config::secret::{Ask, Request, Resolver, ThisMachine, parse_source, placeholders};
use crate::config::types::{Cluster, Node, NodeSecrets, Role, Secret, SecretSource, Stack};
use crate::config::{self, Selection, profile};
use crate::error::{Advise, ExitCode, advised};
use crate::interrupt::Interrupt;
use crate::inventory::{
    self,
    types::{Inventory, NetworkStack},
};
use crate::plan::change::Plan;
use crate::plan::{Inputs, build, overlay_names, secret_params};
use crate::seed::Seed;
use crate::source::error::SourceError;
use crate::source::{self, BaseImage, OpenImage};
use crate::state::State;
use crate::state::identity::NodeIdentity;

use super::context::Context;
use super::create;
use super::keys;
use super::staged::{self, staged};
use super::staged_images;
use super::writing::unusable;

const FIX_FILE: &str = "correct the cluster file and try again; nothing was written";

/// A cluster file, and which of its nodes are meant.
pub(super) struct Order {
    pub(super) cluster: Cluster,
    pub(super) nodes: Vec<Node>,
    pub(super) overlays: Vec<LoadedOverlay>,
    /// What the command line says of the first manager.
    pub(super) swarm_part: Option<SwarmPart>,
}

/// An image that nodes are baked from, and what was found in it.
pub(super) struct Base {
    pub(super) image: BaseImage,
    pub(super) inventory: Inventory,
}

/// Every image the order needs, each opened and looked into once, by the path that nodes name.
pub(super) struct Bases(BTreeMap<PathBuf, Base>);

impl Bases {
    /// The image a node is baked from.
    pub(super) fn of(&self, node: &Node) -> anyhow::Result<&Base> {
        let path = node.image.source.as_ref();
        path.and_then(|path| self.0.get(path)).with_context(|| format!("{}: no image was opened", node.name))
    }
}

/// Reads the cluster file, picks the nodes and loads the overlays they ask for.
pub(super) fn order(context: &Context, wanted: &NodeArgs, swarm: &SwarmArgs) -> anyhow::Result<Order> {
    let cluster = cluster(context, swarm.allow_two_managers)?;
    let nodes = pick(&cluster, wanted)?;
    let overlays = overlay::load(Some(&cluster.base_dir), overlay_names(&nodes)).map_err(|errors| {
        advised(ExitCode::Usage, lines(&errors), "correct the overlay and try again; nothing was written")
    })?;
    Ok(Order { cluster, nodes, overlays, swarm_part: swarm.swarm })
}

/// Reads the cluster file.
pub(super) fn cluster(context: &Context, allow_two_managers: bool) -> anyhow::Result<Cluster> {
    let selection = Selection {
        cluster_file: context.common.cluster.clone(),
        profile: context.common.profile.clone(),
        image: context.common.image.clone(),
        cwd: context.cwd.clone(),
        home: context.invoker.home.clone(),
        allow_two_managers,
    };
    let cluster = config::load(&selection).advise(ExitCode::Usage, FIX_FILE)?;
    context.warn(&cluster.warnings);
    Ok(cluster)
}

/// The nodes that are meant.
pub(super) fn pick(cluster: &Cluster, wanted: &NodeArgs) -> anyhow::Result<Vec<Node>> {
    if wanted.all {
        return Ok(cluster.nodes.clone());
    }
    let known = |name: &String| cluster.nodes.iter().any(|node| node.name == *name);
    let unknown: Vec<&str> = wanted.nodes.iter().filter(|name| !known(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(advised(
            ExitCode::Usage,
            format!("no such node in the cluster file: {}", unknown.join(", ")),
            format!("its nodes are {}", names.join(", ")),
        ));
    }
    Ok(cluster.nodes.iter().filter(|node| wanted.nodes.contains(&node.name)).cloned().collect())
}

/// Opens every image and looks into it.
pub(super) fn bases(context: &Context, order: &Order) -> anyhow::Result<Bases> {
    bases_by(source::open, context, order)
}

/// Opens every image and looks into it, while it may still be on its way into the cache: whoever makes
/// something from one asks [`BaseImage::whole`] before that is handed over.
pub(super) fn arriving_bases(context: &Context, order: &Order) -> anyhow::Result<Bases> {
    bases_by(source::open_arriving, context, order)
}

fn bases_by(open: Open, context: &Context, order: &Order) -> anyhow::Result<Bases> {
    let mut bases = BTreeMap::new();
    for node in &order.nodes {
        let Some(path) = &node.image.source else { continue };
        if !bases.contains_key(path) {
            let base = open_base_by(open, context, path, node.image.sha256)?;
            bases.insert(path.clone(), base);
        }
    }
    Ok(Bases(bases))
}

/// An image, opened and looked into.
pub(super) fn open_base(
    context: &Context,
    path: &Path,
    expected_sha256: Option<[u8; 32]>,
) -> anyhow::Result<Base> {
    open_base_by(source::open, context, path, expected_sha256)
}

/// How an image is opened.
type Open = fn(&OpenImage<'_>) -> Result<BaseImage, SourceError>;

fn open_base_by(
    open: Open,
    context: &Context,
    path: &Path,
    expected_sha256: Option<[u8; 32]>,
) -> anyhow::Result<Base> {
    let request = OpenImage {
        path,
        expected_sha256,
        cache_dir: &context.cache_dir,
        progress: &context.progress,
        interrupt: &context.interrupt,
    };
    const ANOTHER: &str = "download the image again, or name another with --image";
    let image = open(&request).map_err(|error| unusable(error, ANOTHER))?;
    let inventory = inventory::take(&image.blocks);
    if inventory.is_err() {
        // What cannot be unpacked cannot be looked into either; the other way round says nothing useful.
        image.still_same().map_err(|error| unusable(error, ANOTHER))?;
    }
    let inventory = inventory.with_context(|| format!("looking into {}", path.display())).advise(
        ExitCode::Failed,
        "pibake bakes Raspberry Pi OS and Raspbian Lite images, Jessie to Trixie",
    )?;
    Ok(Base { image, inventory })
}

/// The plans of an order, with everything they were made from.
pub(super) struct Planned {
    pub(super) node: Node,
    pub(super) plan: Plan,
    pub(super) generation_seed: [u8; 32],
}

impl Planned {
    /// Tells what was decided, and what to look at.
    pub(super) fn tell(&self, context: &Context) {
        for note in &self.plan.notes {
            context.note(format!("{}: {note}", self.node.name));
        }
        context.warn(&self.plan.warnings);
    }
}

/// Plans every node as if it were baked at `bake_time`: creates no state and asks for no secret.
pub(super) fn plans_for_show(
    context: &Context,
    order: &Order,
    bases: &Bases,
    state: Option<&State>,
    bake_time: i64,
) -> anyhow::Result<Vec<Planned>> {
    let identities = order.nodes.iter().map(|node| match state {
        Some(state) => state.existing_identity(node, &order.cluster),
        None => NodeIdentity::placeholder(node, &order.cluster),
    });
    let identities = identities.collect::<Result<_, _>>()?;
    let requests = requests(order)?;
    let secrets = requests.iter().map(placeholders).collect();
    build_all(context, order, bases, (secrets, identities), state, bake_time)
}

/// Plans every node for baking.
pub(super) fn plans_for_bake(
    context: &Context,
    order: &Order,
    bases: &Bases,
    secrets: Vec<NodeSecrets>,
    identities: Vec<NodeIdentity>,
    state: &State,
) -> anyhow::Result<Vec<Planned>> {
    build_all(context, order, bases, (secrets, identities), Some(state), context.bake_time()?)
}

/// The identity of every node, made and durable before anything holds it, and known to the operator's ssh. May ask
/// for the passphrase: to be called before what takes long.
pub(super) fn identities(
    context: &Context,
    order: &Order,
    state: &State,
) -> anyhow::Result<Vec<NodeIdentity>> {
    keys::sign(context, state, |locked, authorities| {
        let identities = order.nodes.iter().map(|node| locked.identity(node, &order.cluster, authorities));
        let identities = identities.collect::<Result<_, _>>()?;
        locked.write_known_hosts(&order.cluster.nodes)?;
        Ok(identities)
    })
}

fn build_all(
    context: &Context,
    order: &Order,
    bases: &Bases,
    (secrets, identities): (Vec<NodeSecrets>, Vec<NodeIdentity>),
    state: Option<&State>,
    bake_time: i64,
) -> anyhow::Result<Vec<Planned>> {
    let permissions = create::permissions(order, state)?;
    context.warn(&create::loss(order, state)?);
    let staged = staged(context, order, bases)?;
    let mut plans = Vec::new();
    let mut errors = Vec::new();
    let given = secrets.iter().zip(&identities).zip(staged.iter().zip(&permissions));
    for (node, ((secrets, identity), (staged, create))) in order.nodes.iter().zip(given) {
        let base = bases.of(node)?;
        let inputs = Inputs {
            inventory: &base.inventory,
            cluster: &order.cluster,
            node,
            overlays: &order.overlays,
            secrets,
            identity,
            staged,
            create,
            bake_time,
            version: env!("CARGO_PKG_VERSION"),
            base_sha256: base.image.source_sha256,
        };
        match build(&inputs) {
            Ok(plan) => {
                let generation_seed = identity.seed.derive(&node.name, "inode generations");
                plans.push(Planned { node: node.clone(), plan, generation_seed });
            }
            Err(found) => errors.push(found.to_string()),
        }
    }
    if errors.is_empty() { Ok(plans) } else { Err(advised(ExitCode::Usage, errors.join("\n"), FIX_FILE)) }
}

/// A node by its name, and its cluster.
pub(super) fn one_node(context: &Context, name: &str) -> anyhow::Result<(Cluster, Node)> {
    // How many managers are wise was settled when they were baked
    let cluster = cluster(context, true)?;
    let wanted = NodeArgs { nodes: vec![name.to_owned()], all: false };
    let node = pick(&cluster, &wanted)?.pop().context("no node was picked")?;
    Ok((cluster, node))
}

/// The state that running nodes are known by.
pub(super) fn state_that_baked(context: &Context, cluster: &Cluster) -> anyhow::Result<State> {
    existing_state(context, cluster)?.ok_or_else(|| {
        advised(
            ExitCode::Failed,
            format!("there is no state of cluster {}: nothing to know its nodes by", cluster.name),
            "name the state that they were baked from with --state",
        )
    })
}

/// The state if there is one; none is made.
pub(super) fn existing_state(context: &Context, cluster: &Cluster) -> anyhow::Result<Option<State>> {
    Ok(State::open_existing(&state_dir(context, cluster))?)
}

fn state_dir(context: &Context, cluster: &Cluster) -> PathBuf {
    State::locate(cluster, context.common.state.as_deref(), &context.cwd)
}

/// The state, announced and agreed to when it is a new one.
pub(super) fn state(context: &Context, cluster: &Cluster) -> anyhow::Result<State> {
    if let Some(state) = existing_state(context, cluster)? {
        return Ok(state);
    }
    let dir = state_dir(context, cluster);
    context.note(format!("a new cluster identity for {} will be kept in {}", cluster.name, dir.display()));
    let agreed =
        context.common.yes || (prompt::somebody_there() && prompt::yes("Make it?", &context.interrupt)?);
    if !agreed {
        return Err(advised(
            ExitCode::Usage,
            format!("cluster {} has no identity yet", cluster.name),
            "make it with `pibake init`, or say --yes; an existing one is named with --state",
        ));
    }
    Ok(State::create(&dir, context.progress.as_ref(), &context.interrupt)?)
}

/// Everything the order needs and does not have, told in one message: images, packages, stacks and
/// secrets.
pub(super) fn check_complete(context: &Context, order: &Order) -> anyhow::Result<()> {
    let mut missing = missing_images(order);
    missing.extend(staged::missing(context, order));
    missing.extend(staged_images::missing(&order.cluster, &order.nodes, &context.invoker.home));
    missing.extend(missing_stacks(order));
    if missing.is_empty() {
        return Ok(());
    }
    // Nothing is asked of a person for a run that cannot go on; the rest is looked for all the same.
    let requests = requests(order)?;
    let mut run = |words: &[String]| output(context, words);
    let mut outside = ThisMachine::new(&mut run);
    let mut nobody = NobodyAsks;
    let mut resolver =
        Resolver::new(&mut nobody, &mut outside, &order.cluster.base_dir, &context.invoker.home);
    if let Err(errors) = resolver.fetch(&requests) {
        missing.extend_from_slice(errors.lines());
    }
    Err(advised(ExitCode::Usage, missing.join("\n"), FIX_FILE))
}

fn missing_images(order: &Order) -> Vec<String> {
    let (mut missing, mut seen) = (Vec::new(), BTreeSet::new());
    for node in &order.nodes {
        match &node.image.source {
            None => missing.push(format!("{}: no image is named; give [image] source or --image", node.name)),
            Some(path) if !path.exists() && seen.insert(path) => {
                missing.push(format!("no such image file: {}", path.display()));
            }
            Some(_) => {}
        }
    }
    missing
}

/// Compose files that are not there. Those that a built-in profile names may come with it.
fn missing_stacks(order: &Order) -> Vec<String> {
    let managers = order.nodes.iter().any(|node| node.role == Role::Manager);
    let stacks = order.cluster.swarm.as_ref().filter(|_| managers).map_or(&[][..], |swarm| &swarm.stacks);
    let missing = stacks.iter().filter(|stack| !stack.file.exists());
    let text = |stack: &Stack| {
        let missing = format!("no such stack file: {}", stack.file.display());
        match profile::bringing(&order.cluster, &stack.file) {
            Some(name) => format!("{missing}; `pibake init {name}` writes one, in a directory of its own"),
            None => missing,
        }
    };
    missing.map(text).collect()
}

/// Fetches the secrets of every node, asking at the terminal last.
pub(super) fn secrets(context: &Context, order: &Order, seed: &Seed) -> anyhow::Result<Vec<NodeSecrets>> {
    resolve(context, order, &requests(order)?, seed)
}

/// Fetches what a restored card takes of a node's secrets: the key of a radio network, where that lies in one file with
/// the address, and what the swarm is set up with when a manager `joins`. Nothing of accounts or overlays.
pub(super) fn carried_secrets(
    context: &Context,
    order: &Order,
    node: &Node,
    stack: NetworkStack,
    joins: bool,
    seed: &Seed,
) -> anyhow::Result<NodeSecrets> {
    let mut carried = node.clone();
    carried.user.password = None;
    carried.accounts.clear();
    carried.network.wifi = carried.network.wifi.filter(|_| stack == NetworkStack::NetworkManager);
    let swarm = order.cluster.swarm.as_ref().filter(|_| joins && node.role == Role::Manager);
    let swarm_secrets = swarm.map_or(NO_SECRETS, |swarm| &swarm.secrets);
    let request = Request { node: &carried, overlay_params: Vec::new(), swarm_secrets };
    let resolved = resolve(context, order, &[request], seed)?;
    resolved.into_iter().next().context("no secrets were resolved")
}

fn resolve(
    context: &Context,
    order: &Order,
    requests: &[Request<'_>],
    seed: &Seed,
) -> anyhow::Result<Vec<NodeSecrets>> {
    let mut run = |words: &[String]| output(context, words);
    let mut outside = ThisMachine::new(&mut run);
    let mut terminal = Terminal(&context.interrupt);
    let mut resolver =
        Resolver::new(&mut terminal, &mut outside, &order.cluster.base_dir, &context.invoker.home);
    let secrets = resolver.resolve(requests, seed);
    context.interrupt.check().advise(ExitCode::Interrupted, "nothing was written")?;
    let secrets =
        secrets.advise(ExitCode::Usage, "provide what is missing and try again; nothing was written")?;
    context.warn(resolver.warnings());
    Ok(secrets)
}

/// Runs a program of the invoking user that prints a secret.
fn output(context: &Context, words: &[String]) -> io::Result<Vec<u8>> {
    let output = context.invoker.command(words).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(format!("it ended with {}", output.status)))
    }
}

const NO_SECRETS: &BTreeMap<String, SecretSource> = &BTreeMap::new();

fn requests(order: &Order) -> anyhow::Result<Vec<Request<'_>>> {
    order.nodes.iter().map(|node| request(node, order)).collect()
}

fn request<'a>(node: &'a Node, order: &'a Order) -> anyhow::Result<Request<'a>> {
    let params = secret_params(node, &order.overlays).into_iter().map(|(at, name, value)| {
        let source = parse_source(value).map_err(|message| {
            let what = format!("{}: overlay parameter {name}: {message}", node.name);
            advised(ExitCode::Usage, what, FIX_FILE)
        })?;
        Ok((at, name.to_owned(), source))
    });
    let overlay_params = params.collect::<anyhow::Result<_>>()?;
    let swarm = order.cluster.swarm.as_ref().filter(|_| node.role == Role::Manager);
    Ok(Request { node, overlay_params, swarm_secrets: swarm.map_or(NO_SECRETS, |swarm| &swarm.secrets) })
}

/// Asks the person at the terminal, who may want the run to stop instead.
struct Terminal<'a>(&'a Interrupt);

impl Ask for Terminal<'_> {
    fn available(&self) -> bool {
        prompt::somebody_there()
    }

    fn prompt(&mut self, text: &str) -> io::Result<Secret> {
        prompt::secret(text).inspect_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                self.0.request();
            }
        })
    }
}

/// Answers for a person who is not asked: enough to find out what else is missing.
struct NobodyAsks;

impl Ask for NobodyAsks {
    fn available(&self) -> bool {
        true
    }

    fn prompt(&mut self, _text: &str) -> io::Result<Secret> {
        Ok(Secret::new("not asked yet".to_owned()))
    }
}

fn lines<E: std::fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
