//! `pibake keys export`: a client's files for docker, and how to use them.

use std::path::Path;

use serde_json::json;

use crate::cli::print;
use crate::config::types::{Node, Role};

use super::{Desk, quoted};

/// dockerd's port with TLS.
const PORT: u16 = 2376;

pub(super) fn run(desk: &Desk<'_>, client: &str, dir: &Path) -> anyhow::Result<()> {
    // docker keeps the path as it is told.
    let dir = desk.context.cwd.join(dir);
    desk.change(|locked, authorities| {
        let identity = locked.client(client, &desk.cluster, authorities)?;
        locked.export(&dir, &identity)
    })?;
    let command = entrance(desk).map(|node| create_context(&desk.cluster.name, node, &dir));
    if desk.context.common.json {
        let document = json!({ "client": client, "dir": dir, "command": command });
        return print(format_args!("{document:#}\n"));
    }
    desk.context.note(format!("wrote ca.pem, cert.pem and key.pem of {client} into {}", dir.display()));
    match command {
        Some(command) => print(format_args!("{command}\n")),
        None => {
            desk.context.note("no node of the cluster file has docker.tls: there is nothing to connect to");
            Ok(())
        }
    }
}

/// The first manager that can be reached, or else the first node.
fn entrance<'a>(desk: &'a Desk<'_>) -> Option<&'a Node> {
    let servers = || desk.cluster.nodes.iter().filter(|node| node.docker.tls);
    servers().find(|node| node.role == Role::Manager).or_else(|| servers().next())
}

/// The line that makes a docker context. Its argument is CSV (RFC 4180), in which a path may need quotes of its own.
fn create_context(cluster: &str, node: &Node, dir: &Path) -> String {
    let file = |key: &str, name: &str| {
        let field = format!("{key}={}", dir.join(name).display());
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    let fields = [
        format!("host=tcp://{}:{PORT}", node.address),
        file("ca", "ca.pem"),
        file("cert", "cert.pem"),
        file("key", "key.pem"),
    ];
    // docker wants two characters at least.
    let name = if cluster.len() < 2 { format!("pibake-{cluster}") } else { cluster.to_owned() };
    format!("docker context create {name} --docker {}", quoted(&fields.join(",")))
}
