//! `pibake keys revoke`: a join key refused, and what to put on the managers that are baked already.

use serde_json::json;

use crate::cli::print;
use crate::error::{ExitCode, advised};

use super::{Desk, quoted};

/// Where managers keep what they refuse (joining.md).
const REVOKED_KEYS: &str = "/etc/pibake/swarm/revoked";

pub(super) fn run(desk: &Desk<'_>, node: &str) -> anyhow::Result<()> {
    let Some(line) = desk.change(|locked, _| locked.revoke(node))? else {
        let known: Vec<String> = desk.state.join_keys()?.into_iter().map(|(name, ..)| name).collect();
        return Err(advised(
            ExitCode::Usage,
            format!("{node} has no join key"),
            format!(
                "those that have one: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ),
        ));
    };
    let commands = desk.on_managers(&format!("echo {} | sudo tee -a {REVOKED_KEYS}", quoted(&line)));
    if desk.context.common.json {
        let document = json!({ "node": node, "file": REVOKED_KEYS, "line": line, "commands": commands });
        return print(format_args!("{document:#}\n"));
    }
    desk.context.note(format!(
        "{node}: its join key is revoked; managers baked from now on refuse it, and its next card gets another\n\
         managers that run already refuse it once {REVOKED_KEYS} holds this line:"
    ));
    print(format_args!("{line}\n"))?;
    if !commands.is_empty() {
        desk.context.note("for example:");
        print(format_args!("{}\n", commands.join("\n")))?;
    }
    desk.context.note(format!(
        "a node that is in the swarm stays in it: `docker node rm --force {node}` on a manager removes it\n\
         its dockerd's certificate stays good until it ends: `pibake keys rotate ca` ends it, with all others"
    ));
    Ok(())
}
