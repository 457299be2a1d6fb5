//! `pibake keys rotate` and `add-client`: new keys, and what must be done for them to count.

use serde_json::json;

use crate::cli::args::Rotated;
use crate::cli::{print, prompt};
use crate::config::types::Role;
use crate::error::{ExitCode, advised};

use super::{Desk, quoted};

/// Where managers keep whom they trust to let nodes in (joining.md).
const JOIN_CA: &str = "/etc/pibake/swarm/join_ca.pub";

pub(super) fn run(desk: &Desk<'_>, what: &Rotated) -> anyhow::Result<()> {
    match what {
        Rotated::Ca => ca(desk),
        Rotated::Join => join(desk),
        Rotated::Node { name } => node(desk, name),
        Rotated::Client { name } => client(desk, name),
    }
}

pub(super) fn add_client(desk: &Desk<'_>, name: &str) -> anyhow::Result<()> {
    if desk.state.client_certificates()?.iter().any(|(known, _)| known == name) {
        return Err(advised(
            ExitCode::Usage,
            format!("there is a client {name} already"),
            format!(
                "`pibake keys export --client {name} DIR` writes it, `pibake keys rotate client {name}` renews it"
            ),
        ));
    }
    desk.change(|locked, authorities| locked.client(name, &desk.cluster, authorities))?;
    tell(desk, &[], &[name], &format!("client {name} has a key and a certificate"))
}

/// Asks before every card must be flashed again, unless there is nothing that a new CA would make useless.
pub(super) fn agreed(desk: &Desk<'_>) -> anyhow::Result<()> {
    let Some(authority) = desk.state.tls_certificate()? else { return Ok(()) };
    let question = format!(
        "Every node's and client's certificate is signed by {}, and is of no use afterwards.",
        authority.subject
    );
    agreed_to(
        desk,
        &question,
        "the cluster has a TLS CA, which would be replaced",
        "every card with docker.tls",
    )
}

fn agreed_to(desk: &Desk<'_>, question: &str, what: &str, cards: &str) -> anyhow::Result<()> {
    if desk.context.common.yes
        || (prompt::somebody_there() && prompt::yes(question, &desk.context.interrupt)?)
    {
        return Ok(());
    }
    let what_to_do = format!("say --yes if {cards} can be flashed again; nothing was written");
    Err(advised(ExitCode::Usage, what, what_to_do))
}

/// Says which cards must be flashed again, and which clients exported.
pub(super) fn tell(desk: &Desk<'_>, nodes: &[&str], clients: &[&str], done: &str) -> anyhow::Result<()> {
    if desk.context.common.json {
        return print(format_args!("{:#}\n", json!({ "flash": nodes, "export": clients })));
    }
    desk.context.note(done);
    if !nodes.is_empty() {
        desk.context.note(format!("to be flashed again: {}", nodes.join(", ")));
    }
    for client in clients {
        desk.context.note(format!("`pibake keys export --client {client} DIR` writes it for docker"));
    }
    Ok(())
}

fn ca(desk: &Desk<'_>) -> anyhow::Result<()> {
    agreed(desk)?;
    desk.change(|locked, authorities| authorities.rotate_tls(locked, &desk.cluster.name))?;
    replaced(desk)
}

/// A new join CA, in the place of one whose key others may have. Managers that run know nothing of it.
fn join(desk: &Desk<'_>) -> anyhow::Result<()> {
    if desk.state.join_public()?.is_some() {
        const QUESTION: &str =
            "No card baked before is let into the swarm by managers that trust the new CA.";
        agreed_to(
            desk,
            QUESTION,
            "the cluster has a join CA, which would be replaced",
            "every card of the swarm",
        )?;
    }
    let line = desk.change(|locked, authorities| authorities.rotate_join(locked))?;
    let members: Vec<&str> = desk
        .cluster
        .nodes
        .iter()
        .filter(|node| node.role != Role::None)
        .map(|node| node.name.as_str())
        .collect();
    let commands = desk.on_managers(&format!("echo {} | sudo tee {JOIN_CA}", quoted(&line)));
    if desk.context.common.json {
        let document = json!({ "flash": members, "file": JOIN_CA, "line": line, "commands": commands });
        return print(format_args!("{document:#}\n"));
    }
    desk.context.note(format!(
        "the cluster has a new join CA; managers that run already trust the old one until {JOIN_CA} holds this line \
         and no other:"
    ));
    print(format_args!("{line}\n"))?;
    if !commands.is_empty() {
        desk.context.note("for example:");
        print(format_args!("{}\n", commands.join("\n")))?;
    }
    tell(
        desk,
        &members,
        &[],
        "nodes that are in the swarm stay in it; until their next card they can ask managers nothing, neither the time \
         nor whether the swarm was made anew",
    )
}

/// What a new CA means for everything that the old one signed.
pub(super) fn replaced(desk: &Desk<'_>) -> anyhow::Result<()> {
    let clients: Vec<String> = desk.state.client_certificates()?.into_iter().map(|(name, _)| name).collect();
    let clients: Vec<&str> = clients.iter().map(String::as_str).collect();
    tell(desk, &desk.servers(), &clients, "the cluster has a new TLS CA")
}

fn node(desk: &Desk<'_>, name: &str) -> anyhow::Result<()> {
    let Some(node) = desk.cluster.nodes.iter().find(|node| node.name == name && node.docker.tls) else {
        return Err(advised(
            ExitCode::Usage,
            format!("there is no node {name} with docker.tls in the cluster file"),
            format!("those that there are: {}", desk.servers().join(", ")),
        ));
    };
    // Another is made when it is next baked.
    desk.change(|locked, _| locked.forget_server(node))?;
    let done =
        format!("the next card of {name} gets another TLS key; the old certificate stays good until it ends");
    tell(desk, &[name], &[], &done)
}

fn client(desk: &Desk<'_>, name: &str) -> anyhow::Result<()> {
    let known = desk.state.client_certificates()?;
    if !known.iter().any(|(client, _)| client == name) {
        let names: Vec<&str> = known.iter().map(|(client, _)| client.as_str()).collect();
        return Err(advised(
            ExitCode::Usage,
            format!("there is no client {name}"),
            format!(
                "those that there are: {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ),
        ));
    }
    desk.change(|locked, authorities| {
        locked.forget_client(name)?;
        locked.client(name, &desk.cluster, authorities)
    })?;
    let done =
        format!("client {name} has another key; nodes accept the old one until it ends or the CA is rotated");
    tell(desk, &[], &[name], &done)
}
