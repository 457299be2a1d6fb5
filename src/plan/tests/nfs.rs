//! The overlays of an NFS share.

use crate::config::overlay::load;
use crate::config::types::OverlayUse;
use crate::deb::testing::package;
use crate::inventory::types::Release;
use crate::plan::change::Plan;

use super::{Bench, meta, text};

const GENERATOR: &str = "/etc/systemd/system-generators/pibake-nfs-client";

/// The plan of pi1 with one of the overlays.
fn with(name: &str, params: &str) -> Bench {
    let mut bench = Bench::new(Release::Bookworm);
    let overlay = load(None, [name]).unwrap_or_else(|errors| panic!("{errors:?}")).remove(0);
    for needed in &overlay.manifest.packages {
        bench.inventory.packages.installed.push(package(&format!("{needed} 1 all"), ""));
    }
    bench.node.overlays.push(OverlayUse { name: name.to_owned(), with: toml::from_str(params).unwrap() });
    bench.overlays.push(overlay);
    bench
}

/// What the generator makes, by name.
fn units(plan: &Plan) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let script = text(plan, GENERATOR);
    let out = dir.path().to_str().unwrap();
    let ran = std::process::Command::new("sh").args(["-c", &script, "generator", out, out, out]).status();
    assert!(ran.unwrap().success(), "{script}");
    let mut made = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            for link in std::fs::read_dir(&path).unwrap() {
                let link = link.unwrap();
                assert!(link.path().exists(), "{:?} leads nowhere", link.path());
                made.push((format!("{name}/{}", link.file_name().to_str().unwrap()), String::new()));
            }
        } else {
            made.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    made.sort();
    made
}

fn names(units: &[(String, String)]) -> Vec<&str> {
    units.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_server_exports_to_its_own_network_and_makes_directories() {
    let plan = with("nfs-server", "directories = [\"gerrit\", \"ldap-data\"]").plan();
    let exports = text(&plan, "/etc/exports.d/pibake.exports");
    assert_eq!(exports, "/mnt/data 192.168.0.0/16(rw,sync,no_subtree_check,no_root_squash)\n");
    let tmpfiles = text(&plan, "/etc/tmpfiles.d/pibake-nfs-server.conf");
    let lines: Vec<&str> = tmpfiles.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["d /mnt/data - - - -", "d /mnt/data/gerrit - - - -", "d /mnt/data/ldap-data - - - -"]);
    let plan = with("nfs-server", "path = \"/srv/x\"\nclients = \"10.0.0.0/8\"\noptions = \"ro\"").plan();
    assert_eq!(text(&plan, "/etc/exports.d/pibake.exports"), "/srv/x 10.0.0.0/8(ro)\n");
}

#[test]
fn a_client_mounts_when_it_is_looked_into() {
    let plan = with("nfs-client", "server = \"nas\"\nmount_point = \"/mnt/my-data\"").plan();
    assert_eq!(meta(&plan, GENERATOR).mode, 0o755);
    let units = units(&plan);
    assert_eq!(
        names(&units),
        [
            "mnt-my\\x2ddata.automount",
            "mnt-my\\x2ddata.mount",
            "remote-fs.target.wants/mnt-my\\x2ddata.automount"
        ]
    );
    assert!(units[0].1.contains("Where=/mnt/my-data\n"), "{}", units[0].1);
    let mount = &units[1].1;
    for line in ["What=nas:/mnt/data", "Where=/mnt/my-data", "Type=nfs", "Options=_netdev,rw"] {
        assert!(mount.lines().any(|other| other == line), "{line}: {mount}");
    }
}

#[test]
fn the_server_itself_mounts_nothing_over_nfs() {
    for server in ["pi1", "192.168.0.1"] {
        let plan = with("nfs-client", &format!("server = \"{server}\"")).plan();
        assert_eq!(names(&units(&plan)), [""; 0], "{server}");
    }
    let plan = with("nfs-client", "server = \"pi1\"\nmount_point = \"/data\"").plan();
    let units = units(&plan);
    assert_eq!(names(&units), ["data.mount", "multi-user.target.wants/data.mount"]);
    assert!(units[0].1.contains("What=/mnt/data\nWhere=/data\nType=none\nOptions=bind\n"), "{}", units[0].1);
}

#[test]
fn parameters_that_would_end_up_elsewhere_are_refused() {
    for (overlay, params, says) in [
        ("nfs-server", "path = \"mnt\"", "an absolute path is wanted, not mnt"),
        ("nfs-server", "path = \"/\"", "an absolute path is wanted"),
        ("nfs-server", "path = \"/mnt/../etc\"", "an absolute path is wanted"),
        ("nfs-server", "path = \"/mnt/my data\"", "is not for a path that is exported"),
        ("nfs-server", "clients = \"* (rw)\"", "no blanks, brackets"),
        ("nfs-server", "options = \"rw)\\n/ *(rw\"", "no blanks, brackets"),
        ("nfs-server", "directories = [\"../etc\"]", "../etc is not the name of a directory"),
        ("nfs-server", "directories = [\"..\"]", ".. is not the name of a directory"),
        ("nfs-server", "directories = [\"a b\"]", "is not the name of a directory"),
        ("nfs-client", "server = \"pi2\"\npath = \"data\"", "an absolute path is wanted"),
        ("nfs-client", "server = \"pi2\"\nmount_point = \"/mnt/\"", "an absolute path is wanted"),
        ("nfs-client", "server = \"pi2\"\nmount_point = \"/mnt/./x\"", "an absolute path is wanted"),
        ("nfs-client", "server = \"pi2\"\nmount_point = \"/$(reboot)\"", "is not for a path that is mounted"),
        ("nfs-client", "server = \"pi2 x\"", "neither a host name nor"),
        ("nfs-client", "server = \"pi2\"\noptions = \"rw x\"", "no blanks"),
        ("nfs-client", "path = \"/x\"", "parameter \"server\" is missing"),
    ] {
        let errors = with(overlay, params).errors();
        assert!(errors.contains(says), "{params}: {errors}");
    }
}
