//! `swarm.stacks` and `swarm.secrets` onto the managers' cards, from where the leader applies them once
//! (joining.md, "Once").

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::config::types::{Node, Role, Swarm};
use crate::container::{familiar, names_registry};
use crate::deb::Package;
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::plan::change::Content;

use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::packages;
use super::render::Renderer;
use super::stack_file::{NotAStack, Service, StackSpec};
use super::staged::StackFile;

/// Where the leader looks for them.
const DIR: &str = "/etc/pibake/swarm";

/// The first Docker whose `docker stack deploy` reads a file without a version (docker/cli pull request
/// 3257); older ones take it for a file of version 1 and refuse it.
const VERSIONLESS_SINCE: u64 = 23;

/// The packages that `docker` is from.
const CLIENTS: [&str; 4] = ["docker-ce-cli", "docker-cli", "docker-ce", "docker.io"];

/// Plans stacks and their secrets; a node that is no manager gets none.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let Some(swarm) = inputs.cluster.swarm.as_ref().filter(|_| inputs.node.role == Role::Manager) else {
        return;
    };
    plan_secrets(inputs, draft);
    let mut names = BTreeSet::new();
    for stack in &inputs.staged.stacks {
        if !names.insert(stack.name.as_str()) {
            draft.error(wrong(stack, None, "there is another stack of this name"));
            continue;
        }
        let Some(text) = draft.note(render(inputs, stack)) else { continue };
        match StackSpec::parse(&text) {
            Ok(spec) => check(inputs, swarm, stack, &spec, draft),
            Err(NotAStack { line, message }) => draft.error(wrong(stack, line, message)),
        }
        let Some(path) = draft.note(card_path(&format!("stacks/{}.yml", stack.name))) else { continue };
        let reason = Reason::new("swarm.stacks", "the leader deploys it once the swarm has formed");
        draft.text(path, text, Meta::root(0o600), &reason);
    }
}

fn plan_secrets(inputs: &Inputs<'_>, draft: &mut Draft) {
    for (name, secret) in &inputs.secrets.swarm_secrets {
        let Some(path) = draft.note(card_path(&format!("secrets/{name}"))) else { continue };
        let content = Content::Secret(Zeroizing::new(secret.expose().as_bytes().to_vec()));
        let reason =
            Reason::new("swarm.secrets", "the leader makes it a secret of the swarm, then deletes it");
        draft.file(path, content, Meta::root(0o600), &reason);
    }
}

fn card_path(name: &str) -> Result<FsPath, PlanError> {
    FsPath::new(&format!("{DIR}/{name}"))
        .map_err(|error| PlanError::Setting { key: "swarm".to_owned(), message: error.to_string() })
}

fn wrong(stack: &StackFile, line: Option<usize>, message: impl Into<String>) -> PlanError {
    PlanError::Stack { stack: stack.name.clone(), line, message: message.into() }
}

/// The stack's text, the same on every manager: whichever leads when the time comes deploys its own.
fn render(inputs: &Inputs<'_>, stack: &StackFile) -> Result<String, PlanError> {
    let text = render_for(inputs, inputs.node, stack)?;
    let managers = inputs.cluster.nodes.iter().filter(|node| node.role == Role::Manager);
    for other in managers.filter(|node| node.name != inputs.node.name) {
        if render_for(inputs, other, stack)? != text {
            return Err(wrong(
                stack,
                None,
                format!(
                    "it would be another one on {} than on {}, and either may deploy it: it cannot use `node`",
                    other.name, inputs.node.name
                ),
            ));
        }
    }
    Ok(text)
}

fn render_for(inputs: &Inputs<'_>, node: &Node, stack: &StackFile) -> Result<String, PlanError> {
    let renderer = Renderer::new(&Inputs { node, ..*inputs });
    let rendered = renderer.render(&stack.name, &stack.text, &BTreeMap::new()).map_err(|error| {
        let own = if stack.text.contains("{{.") || stack.text.contains("{{ .") {
            "; Docker's own placeholders go between {% raw %} and {% endraw %}"
        } else {
            ""
        };
        wrong(stack, error.line, format!("{}{own}", error.message))
    })?;
    Ok(rendered.text)
}

fn check(inputs: &Inputs<'_>, swarm: &Swarm, stack: &StackFile, spec: &StackSpec, draft: &mut Draft) {
    match spec.version.as_deref() {
        None => check_versionless(inputs, stack, draft),
        Some(version) if version == "3" || version.starts_with("3.") => {}
        Some(version) => {
            draft.error(wrong(stack, None, format!("Docker deploys files of version 3, not {version:?}")));
        }
    }
    if spec.services.is_empty() {
        draft.error(wrong(stack, None, "it has no services"));
    }
    for (name, service) in &spec.services {
        let line = usize::try_from(service.referenced.line()).ok().filter(|line| *line > 0);
        check_service(inputs, stack, name, &service.value, line, draft);
        for (kind, used) in spec.undefined(&service.value) {
            let message = format!("service {name} uses the {kind} {used}, which the file does not define");
            draft.error(wrong(stack, line, message));
        }
    }
    let known = |name: &str| swarm.networks.iter().any(|network| network.name == name);
    for name in spec.external_networks().filter(|name| !known(name)) {
        draft.warn(format!("stack {} needs the network {name}, which is not in swarm.networks", stack.name));
    }
    for name in spec.external_secrets().filter(|name| !swarm.secrets.contains_key(*name)) {
        draft.warn(format!("stack {} needs the secret {name}, which is not in [swarm.secrets]", stack.name));
    }
    for name in spec.external_configs() {
        draft.warn(format!("stack {} needs the config {name}, which nothing makes", stack.name));
    }
    for file in spec.files() {
        check_file(stack, file, draft);
    }
}

/// What a file's secrets and configs are made from has to be on the card, or nothing is deployed.
fn check_file(stack: &StackFile, file: &str, draft: &mut Draft) {
    let place = if file.starts_with('/') {
        file.to_owned()
    } else {
        format!("{DIR}/stacks/{}", file.trim_start_matches("./"))
    };
    let planned = FsPath::new(&place).is_ok_and(|path| draft.planned(&path).is_some());
    if !planned {
        draft.warn(format!(
            "stack {} reads {place} on the manager, which no overlay puts there; use [swarm.secrets]",
            stack.name
        ));
    }
}

fn check_versionless(inputs: &Inputs<'_>, stack: &StackFile, draft: &mut Draft) {
    let message = format!(
        "Docker before {VERSIONLESS_SINCE} deploys no file without a version; add `version: \"3.8\"`"
    );
    match client_version(inputs) {
        Some(version) if version < VERSIONLESS_SINCE => draft.error(wrong(stack, None, message)),
        Some(_) => {}
        None => draft.warn(format!("stack {}: {message}", stack.name)),
    }
}

fn check_service(
    inputs: &Inputs<'_>,
    stack: &StackFile,
    name: &str,
    service: &Service,
    line: Option<usize>,
    draft: &mut Draft,
) {
    if service.build.is_some() {
        let message = format!("service {name} has `build`, and a swarm builds nothing: name an image");
        draft.error(wrong(stack, line, message));
    }
    match service.image.as_deref().map(str::trim) {
        None | Some("") => draft.error(wrong(stack, line, format!("service {name} names no image"))),
        // Set by whoever runs `docker stack deploy`: nobody, on a node.
        Some(image) if image.contains('$') => {
            draft.warn(format!("stack {}: nothing sets the variable in the image {image}", stack.name));
        }
        Some(image) => check_image(inputs, stack, image, draft),
    }
}

/// Whether every node that may run it has the image, or can be expected to get it.
fn check_image(inputs: &Inputs<'_>, stack: &StackFile, image: &str, draft: &mut Draft) {
    let preloaded = &inputs.staged.preloaded;
    let name = familiar(image);
    let lacking: Vec<&str> = preloaded
        .iter()
        .filter(|(_, images)| !images.contains(&name))
        .map(|(node, _)| node.as_str())
        .collect();
    if lacking.is_empty() && !preloaded.is_empty() {
        return;
    }
    if lacking.len() < preloaded.len() {
        draft.warn(format!(
            "stack {} uses image {image}, which {} would have to pull: it is not among their docker.images",
            stack.name,
            lacking.join(", ")
        ));
    } else if !names_registry(image) {
        draft.warn(format!(
            "stack {} uses image {image}, which is not among docker.images and would have to be pulled",
            stack.name
        ));
    }
}

/// The major version of the `docker` that the node will have, when it can be told.
fn client_version(inputs: &Inputs<'_>) -> Option<u64> {
    let staged = inputs.staged.docker.iter().chain(&inputs.staged.system).map(|deb| &deb.package);
    let known: Vec<&Package> = staged.chain(&inputs.inventory.packages.installed).collect();
    let of = |name: &&str| known.iter().find(|package| package.name == *name);
    CLIENTS.iter().find_map(of).map(|package| packages::numbers(&package.version).0)
}
