//! What was found on a disk or image, for a person.

use serde_json::Value;

use crate::cli::table::{Table, printable, size};
use crate::inventory::survey::{PartitionSummary, Summary, Survey};

/// One line that says what a disk holds: for the question before it is overwritten.
#[must_use]
pub fn in_short(survey: &Survey) -> String {
    if survey.interrupted_flash {
        return "an interrupted flash".to_owned();
    }
    if let Some(system) = &survey.system {
        let host = system.hostname.as_deref().unwrap_or("without a hostname");
        return printable(&format!("{}, {host}", system.name.trim()));
    }
    if survey.partitions.is_empty() {
        return "no partitions that can be read".to_owned();
    }
    let labels = survey.partitions.iter().map(|partition| {
        let label = partition.label.as_ref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
        format!("{}{label} ({})", partition.filesystem.name(), size(partition.size))
    });
    printable(&labels.collect::<Vec<_>>().join(", "))
}

/// The whole survey, as `pibake inspect` shows it.
#[must_use]
pub fn in_full(survey: &Survey) -> String {
    let mut text = String::new();
    match (&survey.table, &survey.table_problem) {
        (Some(table), _) => {
            text += &format!(
                "{}, {} table, disk id {}\n",
                size(survey.size),
                table.kind.name(),
                printable(&table.disk_id)
            );
            if let Some(why) = &table.backup_used {
                text += &format!("the backup of the table was used: {}\n", printable(why));
            }
        }
        (None, Some(why)) => {
            text += &format!("{}, no partition table: {}\n", size(survey.size), printable(why))
        }
        (None, None) => {}
    }
    if survey.interrupted_flash {
        text += "interrupted flash: this card was being written and does not boot; flash it again\n";
    }
    text += &partitions(&survey.partitions);
    match (&survey.system, &survey.system_problem) {
        (Some(system), _) => text += &self::system(system),
        (None, Some(why)) => text += &format!("\nno system that pibake bakes: {}\n", printable(why)),
        (None, None) => {}
    }
    text
}

fn partitions(partitions: &[PartitionSummary]) -> String {
    if partitions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["PARTITION", "STARTS AT", "SIZE", "TYPE", "HOLDS", "LABEL", "USED", "FREE"]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    for partition in partitions {
        table.row([
            partition.number.map_or_else(|| "-".to_owned(), |number| number.to_string()),
            size(partition.start),
            size(partition.size),
            text(&partition.kind),
            partition.filesystem.name().to_owned(),
            text(&partition.label),
            partition.used.map(size).unwrap_or_default(),
            partition.free.map(size).unwrap_or_default(),
        ]);
    }
    let problems = partitions.iter().filter_map(|partition| partition.problem.as_ref());
    problems.fold(format!("\n{table}"), |text, problem| text + &printable(problem) + "\n")
}

fn system(system: &Summary) -> String {
    let mut rows = vec![
        ("system", system.name.clone()),
        ("release", format!("{}, {}", word(&system.release), word(&system.arch))),
        ("built", system.build_date.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("hostname", system.hostname.clone().unwrap_or_default()),
        ("user", system.user.clone().unwrap_or_default()),
        ("machine id", word(&system.machine_id)),
        ("network", format!("{}, firmware on {}", word(&system.network_stack), system.firmware_mount)),
        ("first boot", word(&system.hook)),
        ("booted", if system.booted { "yes" } else { "no" }.to_owned()),
    ];
    match &system.manifest {
        Some(manifest) => rows.push(("baked", baked(manifest))),
        None => rows.push(("baked", "not by pibake".to_owned())),
    }
    let lines = rows.into_iter().map(|(name, value)| format!("{name:<12}{}\n", printable(value.trim())));
    "\n".to_owned() + &lines.collect::<String>()
}

fn baked(manifest: &Value) -> String {
    let text =
        |key: &str| manifest.get(key).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    // A backup keeps only how many there are.
    let paths = manifest.get("paths").map_or(0, |paths| match paths.as_array() {
        Some(list) => list.len() as u64,
        None => paths.as_u64().unwrap_or(0),
    });
    format!(
        "as {} of cluster {}, {paths} paths, by pibake {}, bake time {}",
        text("node").unwrap_or_default(),
        text("cluster").unwrap_or_default(),
        text("pibake").unwrap_or_default(),
        text("bake_time").unwrap_or_default(),
    )
}

/// The word that a value is in JSON.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(value) => value.to_string(),
        Err(_) => String::new(),
    }
}
