//! Help, usage, completions and the manual page.

use std::path::Path;

use super::desk::{Desk, Ran};

const COMMANDS: [&str; 15] = [
    "demo",
    "init",
    "plan",
    "bake",
    "flash",
    "restore",
    "verify",
    "capture",
    "devices",
    "inspect",
    "fetch",
    "check",
    "keys",
    "completions",
    "man",
];

const KEYS_ACTIONS: [&str; 8] =
    ["show", "export", "rotate", "add-client", "revoke", "import", "protect", "unprotect"];

/// Compares with a file of `tests/snapshots`; `SNAPSHOTS=overwrite` writes it anew.
pub(super) fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let expected = snapbox::Data::read_from(&path, Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected);
}

fn screen(desk: &Desk, args: &[&str]) -> String {
    desk.run(args).ends(0).out
}

fn assert_narrow(name: &str, text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{name}: {line}");
        assert!(!line.chars().any(char::is_control), "{name}: {line:?}");
    }
}

#[test]
fn help_screens() {
    let desk = Desk::bare();
    for (name, text) in [
        ("pibake", screen(&desk, &["--help"])),
        ("pibake-short", screen(&desk, &["-h"])),
        ("plan-short", screen(&desk, &["plan", "-h"])),
    ] {
        assert_narrow(name, &text);
        assert_snapshot(&format!("help/{name}.txt"), &text);
    }
    for command in COMMANDS {
        let text = screen(&desk, &[command, "--help"]);
        assert_narrow(command, &text);
        assert_snapshot(&format!("help/{command}.txt"), &text);
        assert_narrow(command, &screen(&desk, &[command, "-h"]));
    }
    for action in KEYS_ACTIONS {
        let text = screen(&desk, &["keys", action, "--help"]);
        assert_narrow(action, &text);
        assert_snapshot(&format!("help/keys-{action}.txt"), &text);
    }
}

#[test]
fn every_command_that_works_on_something_has_examples() {
    let desk = Desk::bare();
    for command in COMMANDS.into_iter().filter(|command| *command != "man") {
        let text = screen(&desk, &[command, "--help"]);
        assert!(text.contains(&format!("\n  pibake {command}")), "{text}");
    }
}

#[test]
fn help_does_not_depend_on_the_environment() {
    let desk = Desk::bare();
    let mut command = desk.command(&["bake", "--help"]);
    command.env("PIBAKE_CLUSTER", "/somewhere/pibake.toml").env("COLUMNS", "200");
    assert_eq!(Ran::of(command).ends(0).out, screen(&desk, &["bake", "--help"]));
}

#[test]
fn usage_errors_end_with_2_on_standard_error() {
    let desk = Desk::new(&["pi1"]);
    for args in [
        &[][..],
        &["frobnicate"],
        &["plan"],
        &["plan", "--all", "--frobnicate"],
        &["plan", "--all", "--node", "pi1"],
        &["bake", "--all", "--format", "iso"],
        &["bake", "--all", "-q", "-v"],
        &["flash", "--node", "pi1"],
        &["flash", "card"],
        &["plan", "--all", "--profile", "lab", "--cluster", "pibake.toml"],
        &["completions", "cmd.exe"],
    ] {
        let ran = desk.run(args).ends(2);
        assert_eq!(ran.out, "", "{args:?}");
        assert!(ran.err.contains("--help'") || ran.err.contains("Usage:"), "{args:?}: {}", ran.err);
        assert_narrow("usage", &ran.err);
    }
}

#[test]
fn completions_and_the_manual_page() {
    let desk = Desk::bare();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = screen(&desk, &["completions", shell]);
        assert!(COMMANDS.iter().all(|command| text.contains(command)), "{shell}");
    }
    let page = screen(&desk, &["man"]);
    assert!(page.contains(".TH pibake 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!(".SH \"PIBAKE {}\"", command.to_uppercase())), "{command}");
    }
    assert!(page.contains("\\-\\-allow\\-fixed"), "options are missing");
}

#[test]
fn a_document_that_cannot_be_written_is_an_error() {
    let desk = Desk::new(&["pi1"]);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("NOT RUN: there is no /dev/full");
        return;
    };
    for args in [&["plan", "--all", "--json"][..], &["man"]] {
        let mut command = desk.command(args);
        let child = command.stdout(full.try_clone().unwrap()).stderr(std::process::Stdio::piped()).spawn();
        let ran: Ran = child.unwrap().wait_with_output().unwrap().into();
        ran.ends(1).says(&["writing to standard output"]);
    }
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    let desk = Desk::new(&["pi1"]);
    for args in ["man", "completions bash", "plan --all -v", "devices", "inspect base.img.zst"] {
        let mut shell = std::process::Command::new("sh");
        let line = format!("\"$0\" {args} | :");
        let as_before = desk.command(&[]);
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_pibake")]).env_clear();
        shell.envs(as_before.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(desk.path(""));
        let ran = Ran::of(shell);
        assert!(!ran.err.contains("panicked"), "{args}: {}", ran.err);
    }
}
