//! From an image and a node to a plan: the order of the steps, and nothing else.

use crate::config::overlay::LoadedOverlay;
use crate::config::types::{Cluster, Node, NodeSecrets};
use crate::inventory::types::Inventory;
use crate::plan::change::{DiskPlan, Plan};
use crate::state::identity::NodeIdentity;

use super::create::Create;
use super::draft::{Draft, Finished};
use super::error::PlanErrors;
use super::image::Image;
use super::render::Renderer;
use super::staged::Staged;
use super::units::Units;
use super::{
    accounts, clock, digest, first_boot, images, manifest, network, overlay, packages, select, size, ssh,
    stacks, system, wifi,
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
    // With the digest not known yet, for what is wrong with the inputs as they are
    let digest =
        digest::of(inputs, build_once).or_else(|stand_in| build_once(inputs, [0; 32]).and(Err(stand_in)))?;
    build_once(inputs, digest)
}

/// The plan that says of itself that this is its digest.
pub(super) fn build_once(inputs: &Inputs<'_>, digest: [u8; 32]) -> Result<Plan, PlanErrors> {
    let mut draft = Draft::default();
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
    images::plan(inputs, &mut draft);
    stacks::plan(inputs, &mut draft);
    let disk_id = first_boot::plan(inputs, &mut draft);
    units.plan(Image { inventory: inputs.inventory }, &mut draft);
    manifest::plan(inputs, &digest, None, &mut draft);
    let image_size = size::image_size(inputs, &mut draft);
    let card_size = size::card_size(inputs, image_size, &draft);
    let errors = |errors| PlanErrors { node: inputs.node.name.clone(), errors };
    let Finished { changes, notes, warnings } = draft.finish().map_err(errors)?;
    Ok(Plan {
        node: inputs.node.name.clone(),
        changes,
        disk: DiskPlan { disk_id, image_size },
        card_size,
        bake_time: inputs.bake_time,
        notes,
        warnings,
        digest,
    })
}
