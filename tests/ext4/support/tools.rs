//! Outside programs, run and judged.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a program that must succeed; gives its standard output.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&dyn AsRef<OsStr>]) -> String {
    let output = raw(program, args);
    assert!(
        output.status.success(),
        "{program} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program, whatever comes of it.
pub(crate) fn raw(program: &str, args: &[&dyn AsRef<OsStr>]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(program)
        .args(args.iter().map(AsRef::as_ref))
        .env("LC_ALL", "C")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()
        .unwrap_or_else(|error| panic!("running {program}: {error}"))
}

/// What e2fsck says of an image: nothing, or its complaints.
pub(crate) fn fsck_complaints(image: &Path) -> Vec<String> {
    let output = raw("e2fsck", &[&"-f", &"-n", &image]);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut out: Vec<String> = text.lines().filter(|line| is_complaint(line)).map(str::to_owned).collect();
    if output.status.code() != Some(0) {
        out.push(format!("e2fsck: {}", output.status));
    }
    out
}

/// Fails when e2fsck finds anything to say about an image.
#[track_caller]
pub(crate) fn assert_fsck_clean(image: &Path, when: &str) {
    let complaints = fsck_complaints(image);
    assert!(complaints.is_empty(), "e2fsck, {when}:\n{}", complaints.join("\n"));
}

fn is_complaint(line: &str) -> bool {
    let line = line.trim();
    let summary = line.contains(" files (") && line.ends_with(" blocks");
    !(line.is_empty() || line.starts_with("e2fsck 1.") || line.starts_with("Pass ") || summary)
}
