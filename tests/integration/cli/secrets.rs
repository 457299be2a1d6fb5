//! Secrets are where they belong and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use pibake::fs::FsReader;
use pibake::fs::path::FsPath;
use sha2::{Digest, Sha256};

use super::desk::{Desk, KEY, Ran, cluster};
use super::image::{read_root, root_reader};

/// One secret a source; each as long and odd as nothing else is.
const PLAIN: &str = "marker-plain-Zq7Xv0";
const ENV: &str = "marker-env-Kw3Lp9";
const FILE: &str = "marker-file-Bn5Tr1";
const COMMAND: &str = "marker-command-Hs8Yd4";
const WIFI: &str = "marker-wifi-Gf2Mc6";
const OVERLAY: &str = "marker-overlay-Jx9Ue3";
const SECRETS: [&str; 6] = [PLAIN, ENV, FILE, COMMAND, WIFI, OVERLAY];

/// A cluster whose every kind of secret is one of [`SECRETS`].
fn bench() -> Desk {
    let desk = Desk::bare();
    let more = format!(
        "[user]\nauthorized_keys = [\"{KEY}\"]\npassword = \"{PLAIN}\"\n\
         [[account]]\nname = \"ann\"\npassword = {{ env = \"MARKER\" }}\n\
         [[account]]\nname = \"bob\"\npassword = {{ file = \"secret.txt\" }}\n\
         [[account]]\nname = \"cat\"\npassword = {{ command = [\"sh\", \"secret.sh\"] }}\n\
         [network]\ninterface = \"eth0\"\n[network.wifi]\nssid = \"x\"\npsk = \"{WIFI}\"\ncountry = \"DE\"\n\
         [[overlay]]\nname = \"token\"\nwith = {{ token = \"{OVERLAY}\" }}\n"
    );
    desk.write("pibake.toml", cluster("lab", &more, &["pi1"]));
    desk.write("secret.txt", format!("{FILE}\n"));
    desk.write("secret.sh", format!("sleep 0.2; echo {COMMAND}\n"));
    desk.write(
        "overlays/token/overlay.toml",
        "description = \"a test\"\n[params]\ntoken = { type = \"string\", secret = true, help = \"a token\" }\n\
         [[file]]\npath = \"/etc/token\"\nmode = \"0600\"\n",
    );
    desk.write("overlays/token/root/etc/token.j2", "token={{ with.token }}\n");
    desk.card("card", 128);
    desk
}

/// Every form in which a secret could be given away.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hash = Sha256::digest(secret);
    [
        secret.to_owned(),
        HEXLOWER.encode(secret.as_bytes()),
        BASE64_NOPAD.encode(secret.as_bytes()),
        HEXLOWER.encode(&hash),
        BASE64.encode(&hash),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

#[track_caller]
fn assert_without_secrets(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        for form in forms(secret) {
            assert!(!holds(bytes, &form), "{what} holds {}", String::from_utf8_lossy(&form));
        }
    }
}

/// The command lines of every process, seen while a run goes on.
fn command_lines() -> Vec<u8> {
    let mut seen = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // Processes end while they are looked at.
        if let Ok(mut file) = fs::File::open(entry.path().join("cmdline")) {
            let _ = file.read_to_end(&mut seen);
        }
    }
    seen
}

/// Runs it with the variable set, looking at all processes meanwhile; whether it was seen among them, which a
/// short run on a busy machine need not be.
fn watched(desk: &Desk, args: &[&str]) -> (Ran, bool) {
    let mut command = desk.command(args);
    command.env("MARKER", ENV);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).unwrap();
        text
    });
    let out = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    let mut lines = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        lines.extend(command_lines());
        thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_without_secrets("a command line", &lines);
    let seen = holds(&lines, b"pibake");
    (Ran { status, out: out.join().unwrap(), err: read.join().unwrap() }, seen)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn nothing_that_is_printed_or_kept_holds_a_secret() {
    let desk = bench();
    let mut seen = 0;
    for args in [
        &["plan", "--all", "-v"][..],
        &["plan", "--all", "--json"],
        &["bake", "--all", "-y", "-v"],
        &["bake", "--all", "--json"],
        &["bake", "--all", "--format", "img.zst"],
        &["flash", "--node", "pi1", "card", "-y", "-v"],
        &["flash", "--node", "pi1", "card", "-y", "--json"],
        &["inspect", "card", "--json"],
        &["inspect", "card"],
    ] {
        let (ran, was_seen) = watched(&desk, args);
        let ran = ran.ends(0);
        seen += usize::from(was_seen);
        assert_without_secrets(&format!("standard output of {args:?}"), ran.out.as_bytes());
        assert_without_secrets(&format!("standard error of {args:?}"), ran.err.as_bytes());
    }
    assert!(seen > 0, "no run was seen among the processes");
    let kept = files(&desk.path(".pibake"));
    assert!(kept.iter().any(|path| path.display().to_string().contains("receipts/pi1")), "{kept:?}");
    for path in kept.iter().chain(&files(&desk.top().join("cache"))) {
        if path.extension().is_none_or(|extension| extension != "img") {
            assert_without_secrets(&path.display().to_string(), &fs::read(path).unwrap());
        }
    }
}

#[test]
fn a_secret_in_the_cluster_file_is_warned_about() {
    let desk = bench();
    let mut command = desk.command(&["bake", "--all", "-y"]);
    command.env("MARKER", ENV);
    let ran = Ran::of(command).ends(0);
    let warnings: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 3, "{}", ran.err);
    assert_without_secrets("the warnings", ran.err.as_bytes());
}

/// Every file of the root filesystem with its mode.
fn walk(image: &Path) -> BTreeMap<String, (u16, Vec<u8>)> {
    let root = root_reader(image);
    let (mut found, mut left) = (BTreeMap::new(), vec![FsPath::root()]);
    while let Some(dir) = left.pop() {
        for entry in root.read_dir(&dir).unwrap() {
            let path = dir.join(std::str::from_utf8(&entry.name).unwrap()).unwrap();
            match root.stat_no_follow(&path).unwrap().unwrap() {
                stat if stat.kind == pibake::fs::metadata::FileType::Directory => left.push(path),
                stat if stat.kind == pibake::fs::metadata::FileType::File => {
                    let bytes = root.read(&path, 16 << 20).unwrap();
                    found.insert(path.as_str().to_owned(), (stat.meta.mode, bytes));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn on_the_card_secrets_are_in_private_files_and_not_in_the_manifest() {
    let desk = bench();
    let mut command = desk.command(&["bake", "--all", "-y"]);
    command.env("MARKER", ENV);
    Ran::of(command).ends(0);
    let image = desk.path("pi1.img");
    let files = walk(&image);
    assert!(files.len() > 50, "{}", files.len());

    let manifest: serde_json::Value =
        serde_json::from_slice(&read_root(&image, "/usr/share/pibake/manifest.json")).unwrap();
    assert_without_secrets("the manifest", manifest.to_string().as_bytes());
    assert_eq!(files["/usr/share/pibake/manifest.json"].0, 0o600);
    let listed = manifest["paths"].as_array().unwrap();
    let mut secret = Vec::new();
    for entry in listed {
        let path = entry["path"].as_str().unwrap();
        if entry["secret"] == true {
            assert!(entry.get("sha256").is_none() && entry.get("size").is_none(), "{entry}");
            secret.push(path);
        }
    }
    for path in [
        "/etc/shadow",
        "/etc/token",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ecdsa_key",
        "/etc/NetworkManager/system-connections/pibake-wifi.nmconnection",
    ] {
        assert!(secret.contains(&path), "{path} is not in {secret:?}");
    }
    for path in &secret {
        let mode = files[*path].0;
        assert!(mode == 0o600 || (*path == "/etc/shadow" && mode == 0o640), "{path}: {mode:04o}");
        let digest = HEXLOWER.encode(&Sha256::digest(&files[*path].1));
        assert!(!manifest.to_string().contains(&digest), "the digest of {path} is in the manifest");
    }
    // Where a marker is at all, it is in a file called secret; passwords and passphrase nowhere as they are.
    for (path, (_, bytes)) in &files {
        if path == "/etc/token" {
            assert_eq!(bytes, format!("token={OVERLAY}\n").as_bytes());
            continue;
        }
        assert_without_secrets(path, bytes);
    }
    let shadow = String::from_utf8(files["/etc/shadow"].1.clone()).unwrap();
    for account in ["pi", "ann", "bob", "cat"] {
        let hash = shadow.lines().find_map(|line| line.strip_prefix(&format!("{account}:"))).unwrap();
        assert!(hash.starts_with("$6$") || hash.starts_with("$5$") || hash.starts_with("$y$"), "{account}");
    }
}

#[test]
fn what_is_kept_is_closed_to_others() {
    let desk = bench();
    // Whatever the umask says.
    let mut shell = std::process::Command::new("sh");
    let inner = desk.command(&[]);
    shell.args(["-c", "umask 0; \"$0\" bake --all -y && \"$0\" flash --node pi1 card -y"]);
    shell.arg(env!("CARGO_BIN_EXE_pibake")).env_clear();
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("MARKER", ENV).current_dir(desk.path(""));
    Ran::of(shell).ends(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (name, what) in super::desk::tree(&desk.path(".pibake")) {
        let expected = if what.starts_with("directory") { "directory 0700" } else { "file 0600" };
        assert!(what.starts_with(expected), "{name}: {what}");
    }
    assert_eq!(mode(&desk.path(".pibake")), 0o700);
    assert_eq!(fs::read_to_string(desk.path(".pibake/.gitignore")).unwrap(), "*\n");
    assert_eq!(mode(&desk.path("pi1.img")), 0o600);
}
