//! The rooms' one-way flow: an import that points the wrong way is a failure here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import, besides itself. A room not named here may not exist.
const ROOMS: &[(&str, &[&str])] = &[
    // tests/tier.rs, for unit tests only
    ("tier", &[]),
    ("error", &[]),
    ("progress", &[]),
    ("interrupt", &[]),
    ("seed", &[]),
    ("invoker", &[]),
    ("disk", &[]),
    ("deb", &[]),
    ("container", &["tier"]),
    ("keys", &[]),
    ("cow", &["disk"]),
    ("seekable", &["disk"]),
    ("source", &["disk", "interrupt", "progress", "seekable"]),
    ("fs", &["disk", "tier"]),
    ("usage", &["disk", "fs"]),
    ("inventory", &["cow", "deb", "disk", "fs"]),
    ("fit", &["cow", "disk", "error", "fs", "interrupt", "inventory", "progress"]),
    ("fetch", &["deb", "error", "fs", "interrupt", "inventory", "progress"]),
    ("config", &["fs", "inventory", "seed"]),
    ("state", &["config", "interrupt", "keys", "progress", "seed"]),
    ("plan", &["config", "container", "deb", "fs", "inventory", "seed", "state"]),
    ("node", &["config", "disk", "interrupt"]),
    ("check", &["config", "interrupt", "node"]),
    ("live", &["disk", "fs", "interrupt", "node", "progress", "tier", "usage"]),
    ("apply", &["cow", "disk", "fs", "inventory", "plan"]),
    ("audit", &["disk", "fs", "interrupt", "inventory"]),
    ("prove", &["disk", "fs", "interrupt", "inventory", "plan", "progress"]),
    ("device", &["error"]),
    ("sink", &["cow", "device", "disk", "error", "interrupt", "progress", "seekable"]),
    ("backup", &["disk", "error", "interrupt", "inventory", "progress", "seekable", "sink", "source"]),
    ("cli", &["backup", "config", "error", "fetch", "interrupt", "inventory", "node", "progress"]),
    (
        "commands",
        &[
            "apply",
            "audit",
            "backup",
            "check",
            "cli",
            "config",
            "container",
            "cow",
            "deb",
            "device",
            "disk",
            "error",
            "fetch",
            "fit",
            "fs",
            "interrupt",
            "inventory",
            "invoker",
            "keys",
            "live",
            "node",
            "plan",
            "progress",
            "prove",
            "seed",
            "seekable",
            "sink",
            "source",
            "state",
            "usage",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The rooms a text names as `crate::ROOM`.
fn imports(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(',').map(str::to_owned).collect::<Vec<_>>(),
            None => vec![rest.to_owned()],
        })
        .map(|rest| {
            let rest = rest.trim_start();
            rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
        })
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn imports_point_one_way() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(room, "build" | "lib" | "main") {
            continue;
        }
        let Some(allowed) = rooms.get(room) else {
            wrong.push(format!("{}: no such room", inside.display()));
            continue;
        };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            if import != room && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: {room} must not import {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_itself_has_no_circle() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    fn reaches(rooms: &BTreeMap<&str, &[&str]>, from: &str, to: &str) -> bool {
        rooms[from].iter().any(|next| *next == to || reaches(rooms, next, to))
    }
    for (room, _) in ROOMS {
        assert!(!reaches(&rooms, room, room), "{room} reaches itself");
    }
}

#[test]
fn a_wrong_import_would_be_seen() {
    let text = "use crate::{plan::change, sink};\n// crate::commented\nlet x = crate::fs::path::X;";
    let expected: BTreeSet<String> = ["plan", "sink", "fs"].map(str::to_owned).into();
    assert_eq!(imports(text), expected);
}
