//! What only looks changes nothing: `plan`, `inspect` and `devices` make no state and ask for no secret.

use super::desk::{Desk, KEY, cluster, tree};

#[test]
fn looking_makes_no_state_and_asks_for_nothing() {
    let desk = Desk::bare();
    // Each of these would show: a question without a terminal fails, and so do a missing variable and file;
    // the program leaves a trace.
    let secrets = format!(
        "[user]\nauthorized_keys = [\"{KEY}\"]\npassword = {{ prompt = \"password for pi\" }}\n\
         [[account]]\nname = \"ann\"\npassword = {{ command = [\"touch\", \"it-was-run\"] }}\n\
         [[account]]\nname = \"bob\"\npassword = {{ env = \"NOT_SET_HERE\" }}\n\
         [network.wifi]\nssid = \"x\"\npsk = {{ file = \"no-such-file\" }}\ncountry = \"DE\"\n"
    );
    desk.write("pibake.toml", cluster("lab", &secrets, &["pi1", "pi2"]));
    let before = tree(&desk.path(""));
    for args in [
        &["plan", "--all"][..],
        &["plan", "--all", "-v"],
        &["plan", "--node", "pi2", "--json"],
        &["inspect", "base.img.zst"],
        &["devices"],
    ] {
        desk.run(args).ends(0);
        assert_eq!(tree(&desk.path("")), before, "{args:?}");
    }
    assert!(!desk.top().join("home/.pibake").exists());
    // The same file does ask when it is baked.
    let ran = desk.run(&["bake", "--all", "-y"]).ends(2);
    ran.says(&["NOT_SET_HERE", "no-such-file"]);
}

fn digest_of(document: &serde_json::Value) -> String {
    document["plans"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_plan_that_is_shown_is_the_one_that_is_baked_and_flashed() {
    let desk = Desk::new(&["pi1", "pi2"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let plan = || desk.run(&["plan", "--node", "pi1", "--json"]).ends(0).json();
    let shown = digest_of(&plan());
    let baked = desk.run(&["bake", "--node", "pi1", "--json"]).ends(0).json();
    assert_eq!(baked["baked"][0]["plan"], shown.as_str());
    desk.card("card", 128);
    let receipt = desk.run(&["flash", "--node", "pi1", "card", "-y", "--json"]).ends(0).json();
    assert_eq!(receipt["plan"], shown.as_str());
    assert_eq!(plan()["changed_since_flashed"], serde_json::json!([]));
    assert!(!desk.run(&["plan", "--all"]).ends(0).out.contains("another plan"));

    let changed = cluster("lab", "[system]\nkeymap = \"de\"\n", &["pi1", "pi2"]);
    desk.write("pibake.toml", changed);
    let later = plan();
    assert_ne!(digest_of(&later), shown);
    assert_eq!(later["changed_since_flashed"], serde_json::json!(["pi1"]), "pi2 was never flashed");
    let text = desk.run(&["plan", "--all"]).ends(0).out;
    assert!(text.contains("flashed with another plan than this: pi1\n"), "{text}");
}
