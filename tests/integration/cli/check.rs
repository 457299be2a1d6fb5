//! `pibake check`, with a program named ssh that answers in the place of nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::desk::{Desk, EPOCH, Ran, cluster, tree};

/// Stands for OpenSSH: notes its words, and gives the answer that lies under the node's name.
const SSH: &str = r#"#!/bin/sh
set -eu
cat >"$ANSWERS/script"
for word; do
	case $word in HostKeyAlias=*) node=${word#*=} ;; esac
done
printf '%s\n' "$PWD" "$@" >"$ANSWERS/$node.words"
[ ! -e "$ANSWERS/$node.err" ] || { cat "$ANSWERS/$node.err" >&2 && exit 255; }
cat "$ANSWERS/$node"
"#;

/// What a node says that is as it was baked, at `address`, with this plan.
fn answer(node: &str, address: &str, plan: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    format!(
        "Welcome to {node}!\nuid=0\nhostname={node}\nmachine={node}\naddress=eth0 {address}\nbaked.cluster=lab\nbaked.node={node}\n\
         baked.bake_time=2027-01-15T08:00:00Z\nbaked.plan={plan}\nresolv.kind=file\nresolv.immutable=yes\n\
         now={now}\ndisk=8000000 4000000\nunits=asked\nend=1\n"
    )
}

/// A baked cluster of two, an ssh of its own, and the plan's digest of each node.
struct Lab {
    desk: Desk,
    plans: Vec<String>,
}

impl Lab {
    fn new() -> Self {
        let desk = Desk::new(&["pi1", "pi2"]);
        desk.run(&["bake", "--all", "-y"]).ends(0);
        let document = desk.run(&["plan", "--all", "--json"]).ends(0).json();
        let digest = |plan: &serde_json::Value| plan["digest"].as_str().unwrap().to_owned();
        let plans = document["plans"].as_array().unwrap().iter().map(digest).collect();
        let lab = Self { desk, plans };
        fs::create_dir_all(lab.desk.top().join("bin")).unwrap();
        let ssh = lab.desk.top().join("bin/ssh");
        fs::write(&ssh, SSH).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        lab.says("pi1", &answer("pi1", "192.168.7.1/24", &lab.plans[0]));
        lab.says("pi2", &answer("pi2", "192.168.7.2/24", &lab.plans[1]));
        lab
    }

    fn says(&self, file: &str, text: &str) {
        fs::create_dir_all(self.desk.top().join("answers")).unwrap();
        fs::write(self.desk.top().join("answers").join(file), text).unwrap();
    }

    fn heard(&self, file: &str) -> String {
        fs::read_to_string(self.desk.top().join("answers").join(file)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.desk.command(args);
        let usual = std::env::var("PATH").unwrap();
        let path = format!("{}:{usual}", self.desk.top().join("bin").display());
        command.env("PATH", path).env("ANSWERS", self.desk.top().join("answers"));
        Ran::of(command)
    }
}

#[test]
fn nodes_as_baked_end_with_0() {
    let lab = Lab::new();
    let before = tree(&lab.desk.path(""));
    let ran = lab.run(&["check", "--all"]).ends(0);
    assert!(ran.out.contains("pi1   192.168.7.1  ok        ok   ok      -       -      ok\n"), "{}", ran.out);
    assert!(!ran.out.contains("FOUND"), "{}", ran.out);
    let document = lab.run(&["check", "--all", "--json"]).ends(0).json();
    assert_eq!((&document["cluster"], &document["as_baked"]), (&"lab".into(), &true.into()));
    assert_eq!(document["outdated"], serde_json::json!([]));
    assert_eq!(document["nodes"][1]["findings"][0]["verdict"], "ok");
    let all = lab.run(&["check", "--node", "pi2", "-v"]).ends(0).out;
    assert!(all.contains("host name") && !all.contains("pi1"), "{all}");
    assert_eq!(lab.run(&["check", "--all", "-q"]).ends(0).out, "");
    assert_eq!(tree(&lab.desk.path("")), before, "looking changes nothing");
}

#[test]
fn ssh_gets_the_states_keys_and_no_secret() {
    let lab = Lab::new();
    lab.desk.write("my ssh config", "");
    lab.run(&["check", "--node", "pi1", "--ssh-config", "my ssh config"]).ends(0);
    let words = lab.heard("pi1.words");
    let state = fs::canonicalize(lab.desk.state()).unwrap();
    assert!(words.starts_with(&format!("{}\n-F\n", state.display())), "{words}");
    assert!(words.contains("/my ssh config\n-o\nUserKnownHostsFile=known_hosts\n"), "{words}");
    for option in ["StrictHostKeyChecking=yes", "BatchMode=yes", "HostKeyAlias=pi1", "HostName=192.168.7.1"] {
        assert!(words.contains(&format!("\n-o\n{option}\n")), "{words}");
    }
    assert!(words.ends_with("\n-l\npi\n--\npi1\nsudo -n sh -s || sh -s\n"), "{words}");
    assert!(lab.heard("script").ends_with("everything </dev/null\n"));
}

#[test]
fn what_is_otherwise_ends_with_1_and_is_told() {
    let lab = Lab::new();
    let other =
        answer("pi1", "192.168.7.9/24", &lab.plans[0]).replace("hostname=pi1", "hostname=\u{1b}[31mpi1");
    lab.says("pi1", &other);
    let ran = lab.run(&["check", "--all"]).ends(1);
    ran.says(&["not as baked, or not known to be: pi1 (1 of 2)"]);
    let out = lab.run(&["check", "--all"]).ends(1).out;
    for line in [
        "WRONG  host name  pi1             \u{fffd}[31mpi1\n",
        "WRONG  address    192.168.7.1/24  192.168.7.9/24\n",
    ] {
        assert!(out.contains(line), "{line:?} is missing from:\n{out}");
    }
    let document = lab.run(&["check", "--all", "--json"]).ends(1).json();
    assert_eq!(document["as_baked"], false);
}

#[test]
fn silent_nodes_are_told_with_the_way_out() {
    let lab = Lab::new();
    lab.says("pi1.err", "ssh: connect to host 192.168.7.1 port 22: No route to host\n");
    lab.says(
        "pi2.err",
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\n",
    );
    let out = lab.run(&["check", "--all"]).ends(1).out;
    assert!(out.contains("pi1   192.168.7.1  no answer\n"), "{out}");
    assert!(
        out.contains(
            "pi1: ssh: connect to host 192.168.7.1 port 22: No route to host\n    is it switched on"
        ),
        "{out}"
    );
    assert!(out.contains("pi2: another machine, or a card that was not baked from this state"), "{out}");
    lab.says("pi1.err", "pi@192.168.7.1: Permission denied (publickey).\n");
    let document = lab.run(&["check", "--all", "--json"]).ends(1).json();
    let silent = document["nodes"][0]["silent"].as_str().unwrap();
    assert!(silent.contains("does not let pi in"), "{silent}");
    // An answer that breaks off proves nothing
    fs::remove_file(lab.desk.top().join("answers/pi1.err")).unwrap();
    lab.says("pi1", "uid=0\nhostname=pi1\n");
    assert!(lab.run(&["check", "--node", "pi1"]).ends(1).out.contains("breaks off after 2 lines"));
}

#[test]
fn an_out_of_date_plan_is_told_and_no_failure() {
    let lab = Lab::new();
    lab.desk.write("pibake.toml", cluster("lab", "[system]\nkeymap = \"de\"\n", &["pi1", "pi2"]));
    let ran = lab.run(&["check", "--all"]).ends(0);
    assert!(ran.out.contains("out of date, baked 2027-01-15T08:00:00Z"), "{}", ran.out);
    assert!(ran.out.ends_with("\nbaked with another plan than the one of now: pi1, pi2\n"), "{}", ran.out);
    let document = lab.run(&["check", "--all", "--json"]).ends(0).json();
    assert_eq!(document["outdated"], serde_json::json!(["pi1", "pi2"]));
    // Without the image nobody knows, and that is said
    fs::remove_file(lab.desk.path("base.img.zst")).unwrap();
    let out = lab.run(&["check", "--all"]).ends(0).out;
    assert!(out.contains("not compared: ") && out.contains("base.img.zst"), "{out}");
}

#[test]
fn without_a_state_or_a_cluster_file_nobody_is_asked() {
    let desk = Desk::new(&["pi1"]);
    let before = desk.everything();
    desk.run(&["check", "--all"]).ends(1).says(&["no state of cluster lab", "--state"]);
    desk.run(&["check", "--node", "pi9"]).ends(2).says(&["no such node", "its nodes are pi1"]);
    desk.write("pibake.toml", "name = 1\n");
    desk.run(&["check", "--all"]).ends(2).says(&["pibake.toml:1"]);
    desk.write("pibake.toml", cluster("lab", "", &["pi1"]));
    assert_eq!(desk.everything(), before);
}

#[test]
fn the_manifest_on_the_card_names_the_plan() {
    let desk = Desk::new(&["pi1"]);
    let baked = desk.run(&["bake", "--all", "-y", "--json"]).ends(0).json();
    let plan = baked["baked"][0]["plan"].as_str().unwrap().to_owned();
    let image = fs::read(desk.path("pi1.img")).unwrap();
    let line = format!("  \"plan\": \"{plan}\",\n");
    let found = image.windows(line.len()).any(|window| window == line.as_bytes());
    assert!(found, "baked at {EPOCH}: {line}");
}
