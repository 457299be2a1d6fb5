//! The exit status of every way a run can end, and what the message says.
//!
//! Status 4 needs a card that does not hold what was written to it, which a regular file never is: the tests of
//! `sink::card` in the library have such cards.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::desk::{Desk, EPOCH, KEY, Ran, cluster, tree};
use super::help::assert_snapshot;
use super::image::digest;

#[test]
fn a_done_run_ends_with_0() {
    let desk = Desk::new(&["pi1"]);
    for args in
        [&["plan", "--all"][..], &["bake", "--all", "-y"], &["inspect", "pi1.img"], &["devices"], &["init"]]
    {
        desk.run(args).ends(0);
    }
}

#[test]
fn a_damaged_image_ends_with_1() {
    let desk = Desk::new(&["pi1"]);
    let mut packed = fs::read(desk.path("base.img.zst")).unwrap();
    let middle = packed.len() / 2;
    packed[middle] ^= 0x55;
    desk.write("base.img.zst", &packed);
    for args in [&["plan", "--all"][..], &["bake", "--all", "-y"], &["inspect", "base.img.zst"]] {
        desk.run(args).ends(1).says(&["base.img.zst is damaged: bad zstd data"]);
    }
    assert!(!desk.path("pi1.img").exists());
    desk.run(&["inspect", "nothing.img"]).ends(1).says(&["nothing.img"]);
}

#[test]
fn a_wrong_digest_ends_with_1() {
    let desk = Desk::new(&["pi1"]);
    let text = cluster("lab", "", &["pi1"])
        .replace("\n\n[user]", &format!("\nsha256 = \"{}\"\n\n[user]", "ab".repeat(32)));
    desk.write("pibake.toml", text);
    desk.run(&["bake", "--all", "-y"])
        .ends(1)
        .says(&["base.img.zst has the wrong sha256: it is", "abababab"]);
    assert!(!desk.path("pi1.img").exists());
}

#[test]
fn all_errors_of_a_cluster_file_come_in_one_message_with_their_lines() {
    let desk = Desk::bare();
    let text = format!(
        "name = \"lab\"\nadress = 1\n[image]\nsource = \"base.img.zst\"\n[network]\ngateway = \"10.0.0.1\"\n\
         dns = [\"1.1.1.1\", \"1.1.1.2\", \"1.1.1.3\", \"1.1.1.4\"]\n[user]\nauthorized_keys = [\"{KEY}\"]\n\
         [[node]]\nname = \"pi1\"\naddress = \"192.168.7.1/24\"\n[[node]]\nname = \"pi1\"\naddress = \"192.168.7.1/24\"\n"
    );
    desk.write("pibake.toml", text);
    let before = desk.everything();
    for args in [&["plan", "--all"][..], &["bake", "--all", "-y"], &["flash", "--node", "pi1", "card", "-y"]]
    {
        let ran = desk.run(args).ends(2);
        assert_snapshot("errors/cluster-file.txt", &ran.err);
    }
    assert_eq!(desk.everything(), before);
}

#[test]
fn everything_that_is_missing_comes_in_one_message() {
    let desk = Desk::bare();
    let secrets = format!(
        "[user]\nauthorized_keys = [\"{KEY}\"]\npassword = {{ env = \"NOT_SET_HERE\" }}\n\
         [network]\ninterface = \"eth0\"\n[network.wifi]\nssid = \"x\"\npsk = {{ file = \"no-such-file\" }}\ncountry = \"DE\"\n"
    );
    desk.write(
        "pibake.toml",
        cluster("lab", &secrets, &["pi1", "pi2"]).replace("base.img.zst", "no-such-image.img.xz"),
    );
    desk.card("card", 128);
    let before = desk.everything();
    for args in [&["bake", "--all", "-y"][..], &["flash", "--node", "pi1", "card", "-y"]] {
        desk.run(args).ends(2).says(&["no-such-image.img.xz", "NOT_SET_HERE", "no-such-file"]);
    }
    assert_eq!(desk.everything(), before);
}

#[test]
fn wrong_orders_end_with_2() {
    let desk = Desk::new(&["pi1", "pi2"]);
    desk.card("card", 128);
    let ran = desk.run(&["bake", "--node", "pi1,pi7,pi8", "-y"]).ends(2);
    assert_snapshot("errors/unknown-node.txt", &ran.err);
    let ran = desk.run(&["bake", "--all"]).ends(2);
    ran.says(&["cluster lab has no identity yet", "pibake init", "--yes"]);
    desk.run(&["bake", "--all", "-y", "-o", "nowhere"]).ends(2).says(&["nowhere", "--output"]);
    desk.run(&["bake", "--all", "-y", "-c", "other.toml"]).ends(2).says(&["other.toml", "pibake init"]);
    desk.run(&["init", "no-such-profile"]).ends(2).says(&["no such profile: no-such-profile"]);
    desk.run(&["init", "single"]).ends(2).says(&["pibake.toml is there already"]);
    assert!(!desk.path(".pibake").exists());
    // With a state, the card still needs somebody's yes.
    desk.run(&["bake", "--node", "pi2", "-y"]).ends(0);
    let before = digest(&desk.path("card"));
    desk.run(&["flash", "--node", "pi1", "card"]).ends(2).says(&["nobody to ask", "--yes"]);
    assert_eq!(digest(&desk.path("card")), before);
}

#[test]
fn a_bake_time_before_the_image_ends_with_2() {
    let desk = Desk::new(&["pi1"]);
    for (epoch, says) in [
        ("1000000000", "before the image's newest file"),
        ("soon", "SOURCE_DATE_EPOCH"),
        ("-1", "SOURCE_DATE_EPOCH"),
    ] {
        for args in [&["plan", "--all"][..], &["bake", "--all", "-y"]] {
            let mut command = desk.command(args);
            command.env("SOURCE_DATE_EPOCH", epoch);
            Ran::of(command).ends(2).says(&[says]);
        }
    }
    assert!(!desk.path("pi1.img").exists());
}

#[test]
fn targets_that_are_none_end_with_3() {
    let desk = Desk::new(&["pi1"]);
    fs::create_dir(desk.path("directory")).unwrap();
    nix::unistd::mkfifo(&desk.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(desk.path("socket")).unwrap();
    let small = desk.card("small", 90);
    symlink("small", desk.path("link-to-small")).unwrap();
    symlink("nothing", desk.path("link-to-nothing")).unwrap();
    symlink("fifo", desk.path("link-to-fifo")).unwrap();
    let before = (tree(&desk.path("")).into_keys().collect::<Vec<_>>(), digest(&small));
    for (target, says) in [
        ("nothing", "does not exist"),
        ("/dev/no-such-card", "does not exist"),
        ("link-to-nothing", "does not exist"),
        ("directory", "is a directory"),
        ("fifo", "is a pipe"),
        ("link-to-fifo", "is a pipe"),
        ("socket", "is a socket"),
        ("small/beneath", "does not exist"),
        ("/dev/null", "character device"),
        ("/proc/self/status", "/proc"),
        ("small", "small"),
        ("link-to-small", "small"),
        ("base.img.zst", "base.img.zst"),
    ] {
        let ran = desk.run(&["flash", "--node", "pi1", target, "--yes"]).ends(3);
        ran.says(&[says]);
        assert!(!desk.path("nothing").exists());
    }
    assert_eq!(digest(&small), before.1);
    let names = tree(&desk.path("")).into_keys().filter(|name| !name.starts_with(".pibake"));
    assert_eq!(names.collect::<Vec<_>>(), before.0);
}

#[test]
fn what_the_refusals_of_targets_say() {
    let desk = Desk::new(&["pi1"]);
    desk.card("small", 90);
    let said: String = ["nothing", "/dev/null", "small"]
        .map(|target| desk.run(&["flash", "--node", "pi1", target, "--yes", "-q"]).ends(3).err)
        .concat();
    assert_snapshot("errors/targets.txt", &said.replace(desk.path("").to_str().unwrap(), "WORK/"));
}

#[test]
fn a_regular_file_in_dev_is_refused() {
    let desk = Desk::new(&["pi1"]);
    // /dev/shm is where everybody can make one: what is left of a card that was pulled out looks the same.
    let Ok(file) = tempfile::NamedTempFile::new_in("/dev/shm") else {
        eprintln!("NOT RUN: there is no /dev/shm to make a file in");
        return;
    };
    file.as_file().set_len(128 << 20).unwrap();
    desk.run(&["flash", "--node", "pi1", file.path().to_str().unwrap(), "-y"]).ends(3);
    assert_eq!(digest(file.path()), {
        let same = desk.card("same", 128);
        digest(&same)
    });
}

#[test]
fn a_card_behind_a_link_is_written() {
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    symlink("card", desk.path("link")).unwrap();
    desk.run(&["flash", "--node", "pi1", "link", "-y"]).ends(0);
    assert!(fs::symlink_metadata(desk.path("link")).unwrap().is_symlink());
    assert_eq!(desk.run(&["inspect", card.to_str().unwrap(), "--json"]).json()["system"]["hostname"], "pi1");
}

#[test]
fn an_interrupted_bake_ends_with_130_and_leaves_nothing() {
    let desk = Desk::new(&["pi1"]);
    // Waiting for a secret's program, nobody races the bake.
    let slow = format!(
        "[user]\nauthorized_keys = [\"{KEY}\"]\npassword = {{ command = [\"sh\", \"-c\", \"echo secret; sleep 3\"] }}\n"
    );
    desk.write("pibake.toml", cluster("lab", &slow, &["pi1"]));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = desk.command(&["bake", "--all", "-y"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(600));
        let began = Instant::now();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ran: Ran = child.wait_with_output().unwrap().into();
        let ran = ran.ends(130).says(&["interrupted"]);
        assert!(ran.out.is_empty() && began.elapsed() < Duration::from_secs(20), "{ran:?}");
        let names: Vec<String> =
            tree(&desk.path("")).into_keys().filter(|name| name.contains(".img")).collect();
        assert_eq!(names, ["base.img.zst"]);
    }
    desk.write("pibake.toml", cluster("lab", "", &["pi1"]));
    desk.run(&["bake", "--all"]).ends(0);
}

#[test]
fn an_interrupted_flash_ends_with_130_and_is_told() {
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
    let script = format!(
        "SOURCE_DATE_EPOCH={EPOCH} \"$0\" flash --node pi1 card -y --json 2>err & \
         while ! grep -q 'advance.*writing' err; do :; done; kill -INT $!; wait $!; echo $?"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_pibake")]).env_clear();
    shell.envs(desk.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(desk.path(""));
    desk.write("err", "");
    let status = Ran::of(shell).ends(0).out;
    let said = fs::read_to_string(desk.path("err")).unwrap();
    match status.trim() {
        "130" => {
            assert!(said.contains("interrupted"), "{said}");
            let held = desk.run(&["inspect", "card", "--json"]).ends(0).json();
            assert_eq!(held["interrupted_flash"], true, "{held}");
            let receipts = tree(&desk.state().join("receipts"));
            let count = receipts.keys().filter(|name| name.ends_with(".json")).count();
            assert_eq!(count, 1, "there is a receipt of a card that was not finished");
        }
        // A machine may be quick enough to be done before the signal.
        "0" => assert_eq!(
            desk.run(&["inspect", card.to_str().unwrap(), "--json"]).json()["interrupted_flash"],
            false
        ),
        other => panic!("{other}: {said}"),
    }
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
}

#[test]
fn a_state_that_others_may_read_is_refused_with_the_way_out() {
    let desk = Desk::new(&["pi1"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let seed = desk.state().join("seed");
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o640)).unwrap();
    for args in [&["plan", "--all"][..], &["bake", "--all"]] {
        desk.run(args).ends(1).says(&[&format!("chmod 600 {}", seed.display())]);
    }
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(desk.state(), fs::Permissions::from_mode(0o755)).unwrap();
    desk.run(&["bake", "--all"]).ends(1).says(&[&format!("chmod 700 {}", desk.state().display())]);
}
