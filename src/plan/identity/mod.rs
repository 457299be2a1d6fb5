//! A captured card made another node's, or its own node's again: a plan like any other, which changes what has to be
//! unique to a node (raspios.md, section 10) and leaves everything else as it was captured.
//!
//! What carries identity is planned by the same functions and overlays as a bake. What a system that has run keeps of
//! itself goes, unless the card is the node's own.

mod disk;
mod membership;
mod origin;
mod summary;
mod traces;

use crate::fs::volume::Volume;
use crate::inventory::types::Inventory;
use crate::plan::change::{DiskPlan, Plan};

use super::build::Inputs;
use super::draft::{Draft, Finished, Reason};
use super::error::{PlanError, PlanErrors};
use super::image::{Image, path};
use super::render::Renderer;
use super::select::{self, Offered};
use super::units::Units;
use super::{accounts, digest, manifest, network, overlay, size, ssh, sshd, stacks};

use membership::Membership;
pub use origin::{Kin, Origin};
pub use summary::summary;

/// A card that is to become a node, and the node.
#[derive(Clone, Copy)]
pub struct Restored<'a> {
    /// As for a bake, with the card's inventory for the image's. Of secrets and stacks only what the card holds is
    /// used: the key of a wireless network that is NetworkManager's and, when a manager joins anew, what the swarm is
    /// set up with.
    pub inputs: Inputs<'a>,
    /// Why a card that is the node's own joins the swarm anew all the same, when it does.
    pub rejoin: Option<&'a str>,
}

/// Plans a captured card as a node.
///
/// # Errors
/// Everything that stands in the way, found in one go.
pub fn build(restored: &Restored<'_>) -> Result<Plan, PlanErrors> {
    let once = |inputs: &Inputs<'_>, digest| build_once(&Restored { inputs: *inputs, ..*restored }, digest);
    let inputs = &restored.inputs;
    let digest = digest::of(inputs, once).or_else(|stand_in| once(inputs, [0; 32]).and(Err(stand_in)))?;
    once(inputs, digest)
}

/// Whether a card that becomes a node keeps its membership of the swarm.
#[must_use]
pub fn keeps_membership(inventory: &Inventory, kin: Kin, rejoin: Option<&str>) -> bool {
    membership::keeps(Image { inventory }, kin, rejoin)
}

fn build_once(restored: &Restored<'_>, digest: [u8; 32]) -> Result<Plan, PlanErrors> {
    let inputs = &restored.inputs;
    let image = Image { inventory: inputs.inventory };
    let mut draft = Draft::default();
    let origin = Origin::of(inputs.inventory, &inputs.cluster.name, &inputs.node.name);
    check(inputs, &origin, &mut draft);
    let membership = Membership::of(restored, &origin);
    origin.tell(inputs, &mut draft);

    let names = accounts::keep(inputs, membership.answers(inputs), &mut draft);
    let (renderer, mut units) = (Renderer::new(inputs), Units::default());
    let mut selected = vec![("hostname", Offered::new()), ("node-note", Offered::new())];
    selected.extend(select::networks(inputs));
    selected.extend(membership.overlays(inputs, &origin, &mut draft));
    for used in select::chosen(inputs, selected, &mut draft) {
        overlay::plan(inputs, &renderer, &names, &used, &mut units, &mut draft);
    }
    network::plan(inputs, &mut draft);
    host_keys(inputs, &origin, &mut draft);
    if origin.kin != Kin::Itself {
        traces::plan(image, &mut draft);
    }
    membership.plan(restored, &origin, &mut draft);
    if membership.sets_up(inputs) {
        stacks::plan(inputs, &mut draft);
    }
    let disk_id = disk::plan(inputs, &origin, &mut draft);
    units.plan_links(image, &mut draft);
    manifest::plan(inputs, &digest, Some(origin.record(&membership)), &mut draft);
    size::check_room(inputs, &mut draft);

    let errors = |errors| PlanErrors { node: inputs.node.name.clone(), errors };
    let Finished { changes, notes, warnings } = draft.finish().map_err(errors)?;
    let image_size = inputs.inventory.layout.image_size;
    Ok(Plan {
        node: inputs.node.name.clone(),
        changes,
        disk: DiskPlan { disk_id, image_size },
        card_size: image_size,
        bake_time: inputs.bake_time,
        notes,
        warnings,
        digest,
    })
}

/// A stock image has no identity that could be replaced, and lacks everything else a node is made of.
fn check(inputs: &Inputs<'_>, origin: &Origin, draft: &mut Draft) {
    if origin.kin == Kin::Stranger && !inputs.inventory.booted {
        draft.error(PlanError::Setting {
            key: "--node".to_owned(),
            message: "nobody's card was captured: it was never booted, and pibake did not bake it; \
                      `pibake flash` makes a node of a stock image"
                .to_owned(),
        });
    }
}

/// The host keys of the state, and none besides: neither other kinds nor certificates for old ones.
fn host_keys(inputs: &Inputs<'_>, origin: &Origin, draft: &mut Draft) {
    let image = Image { inventory: inputs.inventory };
    ssh::host_keys(inputs, image, draft);
    let reason = Reason::new("ssh", "a host key of the card that was captured");
    for file in image.entries(Volume::Root, &path("/etc/ssh")) {
        let is_key = file.name().is_some_and(|name| name.starts_with("ssh_host_"));
        if is_key && draft.planned(&file).is_none() {
            draft.remove(file, &reason);
        }
    }
    // A bake has its own lines for them.
    let file = path("/etc/ssh/sshd_config");
    if origin.kin != Kin::Stranger {
        return;
    }
    if let Some(Some(text)) = draft.note(image.text(&file))
        && let Some(edited) = sshd::without_host_keys(text)
    {
        let meta = image.meta(&file, crate::fs::metadata::Meta::root(0o644));
        let reason =
            Reason::new("ssh", "the host keys that there are, and not those of the card that was captured");
        draft.text(file, edited, meta, &reason);
    }
}
