//! A plan of a restored card in a few lines, for whoever is asked whether to write it.

use crate::plan::change::{Action, Plan};

/// How much is written and goes, and which origins it has.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    let count = |test: fn(&Action) -> bool| plan.changes.iter().filter(|change| test(&change.action)).count();
    let removed = count(|action| matches!(action, Action::Remove));
    let written = plan.changes.len() - removed;
    let disk = plan.disk.disk_id.map(|id| format!(", disk id {id:08x}")).unwrap_or_default();
    format!("{} paths written, {} removed{disk}; everything else stays as it was captured", written, removed)
}
