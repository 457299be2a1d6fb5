//! `--node`: the identity of a node of the cluster file, in the place of the one that was captured.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::apply::apply;
use crate::cli::args::{NodeArgs, RestoreArgs};
use crate::cli::table::printable;
use crate::config::types::{Node, Role};
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode, advise, advised};
use crate::fit;
use crate::fs::ext4::Stamp;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::leftovers::{self, Leftovers};
use crate::inventory::{self, types::Inventory};
use crate::keys::certificate::Certificate;
use crate::plan::change::Plan;
use crate::plan::identity::{Origin, Restored, build, keeps_membership, summary};
use crate::plan::{Create, Inputs, Staged, show};
use crate::prove::prove;
use crate::sink::receipt::{Provenance, Receipt};
use crate::state::State;
use crate::state::identity::NodeIdentity;

use super::super::context::Context;
use super::super::create;
use super::super::prepare::{self, Order};
use super::super::staged;
use super::super::writing::Written;
use super::original::Original;

/// Leftovers that are told one by one; `--verbose` has all.
const TOLD: usize = 20;

const TRY_AGAIN: &str = "nothing was written; this is worth a bug report if it happens again";

/// A node, and the state it is known by: what is found out before the image is opened.
pub(super) struct Wanted {
    order: Order,
    state: State,
    identity: NodeIdentity,
}

/// A captured card that has become a node.
pub(super) struct Become {
    wanted: Wanted,
    pub(super) plan: Plan,
    source_sha256: [u8; 32],
}

impl Wanted {
    /// Reads the cluster file; the node's identity is durable when this returns, and known to the operator's ssh.
    pub(super) fn of(context: &Context, args: &RestoreArgs) -> anyhow::Result<Option<Self>> {
        let Some(node) = &args.node else { return Ok(None) };
        let order =
            prepare::order(context, &NodeArgs { nodes: vec![node.clone()], all: false }, &args.swarm)?;
        let state = prepare::state(context, &order.cluster)?;
        let identity = prepare::identities(context, &order, &state)?.pop();
        let identity = identity.context("no identity was made")?;
        Ok(Some(Self { order, state, identity }))
    }

    fn node(&self) -> anyhow::Result<&Node> {
        self.order.nodes.first().context("no node was picked")
    }

    /// Changes the image, proves it, and tells what was done.
    pub(super) fn give(
        self,
        context: &Context,
        original: &Original,
        image: CowImage,
    ) -> anyhow::Result<(Arc<CowImage>, Become)> {
        let source_sha256 = original.sha256(context)?;
        let image = Arc::new(settled(context, image)?);
        let inventory = look(&image)?;
        let plan = self.plan(context, &inventory, source_sha256)?;
        let mut image = Arc::into_inner(image).context("the image is still being looked at")?;
        let generations = self.identity.seed.derive(&plan.node, "inode generations of a restore");
        apply(&plan, &inventory.layout, generations, &mut image)
            .with_context(|| format!("making {} of the captured card", plan.node))?;
        let image = Arc::new(image);
        let blocks: Arc<dyn BlockRead> = Arc::clone(&image) as Arc<dyn BlockRead>;
        prove(&plan, &inventory.layout, &blocks, context.progress.as_ref(), &context.interrupt)
            .with_context(|| format!("proving {}", plan.node))
            .advise(ExitCode::Failed, TRY_AGAIN)?;
        tell(context, &plan);
        tell_leftovers(context, &self.leftovers(&inventory, &plan, &blocks)?);
        Ok((image, Become { wanted: self, plan, source_sha256 }))
    }

    fn plan(&self, context: &Context, inventory: &Inventory, base_sha256: [u8; 32]) -> anyhow::Result<Plan> {
        let (order, node, bake_time) = (&self.order, self.node()?, context.bake_time()?);
        let kin = self.origin(inventory)?.kin;
        let rejoin = rejoin(context, order, node, inventory, bake_time);
        let joins = !keeps_membership(inventory, kin, rejoin.as_deref());
        let (mut permissions, mut staged) = (Vec::new(), Staged::default());
        if joins {
            permissions = create::permissions(order, Some(&self.state))?;
            context.warn(&create::loss(order, Some(&self.state))?);
            staged = staged::stacks(context, order, node)?;
        }
        let seed = self.state.seed();
        let secrets = prepare::carried_secrets(context, order, node, inventory.stack, joins, seed)?;
        let inputs = Inputs {
            inventory,
            cluster: &order.cluster,
            node,
            overlays: &order.overlays,
            secrets: &secrets,
            identity: &self.identity,
            staged: &staged,
            create: &permissions.pop().unwrap_or_else(Create::none),
            bake_time,
            version: env!("CARGO_PKG_VERSION"),
            base_sha256,
        };
        build(&Restored { inputs, rejoin: rejoin.as_deref() })
            .advise(ExitCode::Usage, "correct the cluster file or name another capture; nothing was written")
    }

    fn origin(&self, inventory: &Inventory) -> anyhow::Result<Origin> {
        Ok(Origin::of(inventory, &self.order.cluster.name, &self.node()?.name))
    }

    /// Where the card still says what it was, in files that the plan does not write.
    fn leftovers(
        &self,
        inventory: &Inventory,
        plan: &Plan,
        image: &Arc<dyn BlockRead>,
    ) -> anyhow::Result<Leftovers> {
        let words = self.origin(inventory)?.words(self.node()?.address);
        let planned = |path: &_| plan.changes.iter().any(|c| c.volume == Volume::Root && c.path == *path);
        if words.is_empty() {
            return Ok(Leftovers::default());
        }
        leftovers::search(image, &words, planned).context("looking for the card's old name")
    }
}

impl Become {
    /// Puts the receipt into the state, as a flash of the node has one.
    pub(super) fn keep(&self, context: &Context, written: &Written) -> anyhow::Result<Receipt> {
        let Wanted { order, state, .. } = &self.wanted;
        let provenance = Provenance {
            cluster: &order.cluster.name,
            node: &self.plan.node,
            plan: self.plan.digest,
            base: self.source_sha256,
            started: written.started,
            finished: written.finished,
        };
        let mut receipt = Receipt::new(&provenance, &written.flashed.device, &written.flashed.report);
        receipt.restored = true;
        let locked = state.lock(context.progress.as_ref(), &context.interrupt)?;
        let value = serde_json::to_value(&receipt).context("writing the receipt as JSON")?;
        let path = locked.write_receipt(&self.plan.node, self.plan.bake_time, &value)?;
        context.note(format!("receipt {}", path.display()));
        Ok(receipt)
    }
}

/// The image with its journal replayed: a card that was pulled is captured as it was.
fn settled(context: &Context, image: CowImage) -> anyhow::Result<CowImage> {
    let stamp = Stamp { time: context.bake_time()?, generation_seed: [0; 32] };
    let (image, notes) = fit::settle(image, &stamp).map_err(|error| {
        let (code, way_out) = (error.exit_code(), error.way_out());
        advise(code, error, way_out)
    })?;
    notes.into_iter().for_each(|note| context.note(note));
    Ok(image)
}

fn look(image: &Arc<CowImage>) -> anyhow::Result<Inventory> {
    let blocks: Arc<dyn BlockRead> = Arc::clone(image) as Arc<dyn BlockRead>;
    inventory::take(&blocks).context("looking into the image").advise(
        ExitCode::Failed,
        "--node takes cards of Raspberry Pi OS and Raspbian; without it any image is written as it is",
    )
}

/// Why a card that is the node's own does not come back as the member of the swarm that it was, if it does not.
fn rejoin(context: &Context, order: &Order, node: &Node, inventory: &Inventory, time: i64) -> Option<String> {
    if order.swarm_part.is_some() {
        return Some("the command line says so".to_owned());
    }
    if node.role == Role::Worker && address(inventory).is_some_and(|was| was != node.address) {
        return Some("the swarm knows it at another address".to_owned());
    }
    let key = (Volume::Root, FsPath::new(SWARM_CERTIFICATE).ok()?);
    let text = String::from_utf8_lossy(inventory.files.get(&key)?).into_owned();
    let end = Certificate::from_pem(&text).ok()?.not_after;
    if time < end {
        return None;
    }
    let end = OffsetDateTime::from_unix_timestamp(end).ok().and_then(|end| end.format(&Rfc3339).ok());
    let ended = format!("its certificate of the swarm ended at {}", end.unwrap_or_default());
    let managers = order.cluster.nodes.iter().filter(|node| node.role == Role::Manager).count();
    if node.role == Role::Manager && managers == 1 {
        // What it holds is nowhere else.
        context.warn(&[format!(
            "{ended}, and it is the only manager: once it runs, `docker swarm init --force-new-cluster` there \
             brings the swarm back"
        )]);
        return None;
    }
    Some(ended)
}

/// The address that a card was baked with.
fn address(inventory: &Inventory) -> Option<Ipv4Addr> {
    inventory.manifest.as_ref()?.get("address")?.as_str()?.split('/').next()?.parse().ok()
}

/// Where dockerd keeps the certificate of its membership.
const SWARM_CERTIFICATE: &str = "/var/lib/docker/swarm/certificates/swarm-node.crt";

fn tell(context: &Context, plan: &Plan) {
    for note in &plan.notes {
        context.note(format!("{}: {note}", plan.node));
    }
    context.note(format!("{}: {}", plan.node, summary(plan)));
    if context.common.verbose {
        context.note(show::text(plan, false));
    }
    context.warn(&plan.warnings);
}

fn tell_leftovers(context: &Context, found: &Leftovers) {
    if found.lines.is_empty() {
        return;
    }
    let told = if context.common.verbose { found.lines.len() } else { TOLD };
    let mut text = "left as they are, with the old name or an old address in them:".to_owned();
    for (path, line) in found.lines.iter().take(told) {
        text.push_str(&format!("\n  {}:{line}", printable(path.as_str())));
    }
    if found.lines.len() > told {
        text.push_str(&format!("\n  and {} more (--verbose)", found.lines.len() - told));
    }
    if found.cut_short {
        text.push_str("\n  and more was not looked through");
    }
    context.note(text);
}

/// The refusal of options that are for `--node`.
pub(super) fn check(args: &RestoreArgs) -> anyhow::Result<()> {
    if args.node.is_none() && (args.swarm.swarm.is_some() || args.swarm.allow_two_managers) {
        return Err(advised(
            ExitCode::Usage,
            "--swarm and --allow-two-managers are for --node",
            "say which node the card becomes, or leave them out",
        ));
    }
    Ok(())
}
