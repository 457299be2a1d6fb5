//! From an image and a node to a plan: the order of the steps, and nothing else.

use crate::config::overlay::LoadedOverlay;
use crate::config::types::{Cluster, Node, NodeSecrets};
use crate::inventory::types::Inventory;
use crate::plan::change::{DiskPlan, Plan};
use crate::state::identity::NodeIdentity;

use super::create::Create;
use super::draft::Draft;
use super::error::{PlanError, PlanErrors};
use super::image::Image;
use super::render::Renderer;
use super::staged::Staged;
use super::units::Units;
use super::{
    accounts, clock, digest, first_boot, manifest, network, overlay, packages, select, size, ssh, system,
    wifi,
};

/// Everything a plan depends on.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What was found in the image.
    pub inventory: &'a Inventory,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The node of it that is planned for.
    pub node: &'a Node,
    /// The overlays of [`super::overlay_names`], loaded.
    pub overlays: &'a [LoadedOverlay],
    /// The node's secrets, or stand-ins of the same shape.
    pub secrets: &'a NodeSecrets,
    /// The node's keys, certificates and seed.
    pub identity: &'a NodeIdentity,
    /// Packages, container images and stacks.
    pub staged: &'a Staged,
    /// Whether this card may create the swarm.
    pub create: &'a Create,
    /// Seconds since 1970 that every time written comes from.
    pub bake_time: i64,
    /// pibake's version.
    pub version: &'a str,
    /// SHA-256 of the base image.
    pub base_sha256: [u8; 32],
}

/// Plans a node's card.
///
/// # Errors
/// Everything that stands in the way, found in one go.
pub fn build(inputs: &Inputs<'_>) -> Result<Plan, PlanErrors> {
    let mut plan = build_once(inputs)?;
    plan.digest = digest::of(inputs)?;
    Ok(plan)
}

/// The plan without its digest.
pub(super) fn build_once(inputs: &Inputs<'_>) -> Result<Plan, PlanErrors> {
    let mut draft = Draft::default();
    refuse_what_comes_later(inputs, &mut draft);
    let names = accounts::plan(inputs, &mut draft);
    let mut units = Units::default();
    let renderer = Renderer::new(inputs);
    for used in select::uses(inputs, &mut draft) {
        overlay::plan(inputs, &renderer, &names, &used, &mut units, &mut draft);
    }
    network::plan(inputs, &mut draft);
    wifi::plan(inputs, &mut draft);
    ssh::plan(inputs, &mut draft);
    system::plan(inputs, &mut draft);
    clock::plan(inputs, &names, &mut draft);
    packages::plan(inputs, &mut draft);
    let disk_id = first_boot::plan(inputs, &mut draft);
    units.plan(Image { inventory: inputs.inventory }, &mut draft);
    manifest::plan(inputs, &mut draft);
    let image_size = size::image_size(inputs, &mut draft);
    let card_size = size::card_size(inputs, image_size, &draft);
    let errors = |errors| PlanErrors { node: inputs.node.name.clone(), errors };
    let (changes, warnings) = draft.finish().map_err(errors)?;
    Ok(Plan {
        node: inputs.node.name.clone(),
        changes,
        disk: DiskPlan { disk_id, image_size },
        card_size,
        bake_time: inputs.bake_time,
        warnings,
        digest: [0; 32],
    })
}

fn refuse_what_comes_later(inputs: &Inputs<'_>, draft: &mut Draft) {
    let mut refuse = |what: &str, instead: &str| {
        draft.error(PlanError::NotYet { what: what.to_owned(), instead: instead.to_owned() });
    };
    if inputs.cluster.swarm.is_some() {
        refuse("[swarm]", "leave it out and join the nodes by hand");
    }
}
