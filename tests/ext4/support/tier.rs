//! Which tests may run: those without tools always, the others when `PIBAKE_TIER` asks for them.

use std::process::Command;

use crate::tier::{asked, is_asked};

/// Programs that the oracle tier runs.
const TOOLS: [&str; 13] = [
    "e2fsck",
    "debugfs",
    "mke2fs",
    "resize2fs",
    "dumpe2fs",
    "tune2fs",
    "mount",
    "umount",
    "fsfreeze",
    "getfattr",
    "setfattr",
    "lsattr",
    "chattr",
];

/// Whether the oracle tier was asked for. Then it must be able to run.
///
/// # Panics
/// When it was asked for and a program, or root, is missing.
pub(crate) fn oracles() -> bool {
    let asked = is_asked("oracles");
    if asked {
        let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !in_path(tool)).collect();
        assert!(
            missing.is_empty(),
            "PIBAKE_TIER asks for the oracles, but these programs are missing: {missing:?}"
        );
        assert!(is_root(), "PIBAKE_TIER asks for the oracles, which mount filesystems: run them as root");
    }
    asked
}

/// Whether the oracle tier runs; if not, says that `test` did not.
pub(crate) fn oracles_for(test: &str) -> bool {
    asked("oracles", test) && oracles()
}

fn in_path(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain([std::path::PathBuf::from("/usr/sbin"), std::path::PathBuf::from("/sbin")])
            .any(|folder| folder.join(tool).is_file())
    })
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
