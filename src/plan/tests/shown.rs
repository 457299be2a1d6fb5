//! What a plan tells: the manifest, the view, the digest; and what none of them tells.

use crate::config::types::{Password, Secret, SecretSource};
use crate::fs::metadata::Meta;
use crate::inventory::types::Release;
use crate::plan::change::{Action, Content};
use crate::plan::show;

use super::{Bench, content, spec, with_wifi};

#[test]
fn the_manifest_names_every_path_and_no_secret() {
    let plan = with_wifi(Release::Bookworm).plan();
    let manifest = spec(&plan, "/usr/share/pibake/manifest.json");
    assert_eq!(manifest.meta, Meta::root(0o600));
    let json: serde_json::Value = serde_json::from_str(&content(&manifest.content)).unwrap();
    assert_eq!(json["node"], "pi1");
    assert_eq!(json["cluster"], "plexi");
    assert_eq!(json["bake_time"], "2025-11-20T09:00:01Z");
    assert_eq!(json["base_sha256"], "01".repeat(32));
    let paths = json["paths"].as_array().unwrap();
    let entry =
        |path: &str| paths.iter().find(|entry| entry["path"] == path).unwrap_or_else(|| panic!("{path}"));
    for change in &plan.changes {
        if change.path.as_str() == "/usr/share/pibake/manifest.json"
            || matches!(change.action, Action::Rename { .. })
        {
            continue;
        }
        let entry = entry(change.path.as_str());
        if let Action::File(spec) = &change.action {
            assert_eq!(entry.get("sha256").is_none(), spec.content.is_secret());
            assert_eq!(entry.get("size").is_none(), spec.content.is_secret());
            assert_eq!(entry.get("secret").is_some(), spec.content.is_secret());
        }
    }
    assert_eq!(entry("/etc/resolv.conf")["flags"], serde_json::json!(["immutable"]));
    assert_eq!(entry("/etc/hostname")["mode"], "0644");
    assert_eq!(entry("/etc/systemd/system/userconfig.service")["target"], "/dev/null");
}

#[test]
fn secrets_are_shown_nowhere() {
    let mut bench = with_wifi(Release::Bookworm);
    bench.node.user.password = Some(Password::Source(SecretSource::Env("X".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$6$hidden$hidden".to_owned()));
    let plan = bench.plan();
    let json = serde_json::to_string(&show::view(&plan, true)).unwrap();
    let shown = [show::text(&plan, true), json, format!("{plan:?}")];
    for text in shown {
        for secret in ["hidden$hidden", &"ab".repeat(32), "PRIVATE"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    // Nor in any file that others may read.
    for change in &plan.changes {
        let Action::File(spec) = &change.action else { continue };
        let Content::Bytes(bytes) = &spec.content else { continue };
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains("hidden$hidden") && !text.contains(&"ab".repeat(32)) && !text.contains("PRIVATE"),
            "{}",
            change.path
        );
    }
}

#[test]
fn shows_modes_owners_flags_origins_and_texts() {
    let plan = Bench::new(Release::Bookworm).plan();
    let shown = show::text(&plan, true);
    for expected in [
        "node pi1: image of ",
        "boot partition (FAT)\n",
        "  rename                     /home/pi -> anna\n            [user]: the image's account pi becomes anna\n",
        "  file      0644 0:0         /etc/resolv.conf [immutable]\n            overlay resolv-conf (built in): ",
        "            | nameserver 9.9.9.9\n",
        "  file      0640 0:42        /etc/shadow (secret)\n",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert!(!show::text(&plan, false).contains("nameserver"));
}

#[test]
fn the_same_inputs_give_the_same_plan_and_others_another() {
    let bench = with_wifi(Release::Bookworm);
    let (first, second) = (bench.plan(), bench.plan());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    let mut other = with_wifi(Release::Bookworm);
    other.node.user.name = "berta".to_owned();
    assert_ne!(other.plan().digest, first.digest);
}

#[test]
fn the_digest_needs_neither_time_nor_secrets() {
    let mut bench = with_wifi(Release::Bookworm);
    bench.node.user.password = Some(Password::Source(SecretSource::Env("X".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$6$a$a".to_owned()));
    let first = bench.plan().digest;
    bench.bake_time += 86_400 * 100;
    bench.secrets.user_hash = Some(Secret::new("$6$b$b".to_owned()));
    bench.secrets.wifi_psk = Some(Secret::new("cd".repeat(32)));
    for key in &mut bench.identity.host_keys {
        key.private = zeroize::Zeroizing::new(String::new());
    }
    assert_eq!(bench.plan().digest, first);
    bench.identity.host_keys[0].public.push('x');
    assert_ne!(bench.plan().digest, first);
    let mut bench = with_wifi(Release::Bookworm);
    bench.identity.seed = crate::seed::Seed::new([8; 32]);
    assert_ne!(bench.plan().digest, with_wifi(Release::Bookworm).plan().digest);
}
