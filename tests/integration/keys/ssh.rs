//! What ssh-keygen and sshd make of the join certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pibake::state::identity::JoinIdentity;

use super::desk::{Desk, TIME};
use super::tools::{Said, Server, find, oracles, run};

/// A manager's sshd, as far as joining goes: whoever has a certificate for the account, and no revoked key.
const CONFIG: &str = "\
    StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
    AuthorizedKeysFile none\nTrustedUserCAKeys DIR/ca.pub\nAuthorizedPrincipalsFile DIR/principals\n\
    RevokedKeys DIR/revoked\nHostKey DIR/host_key\nPidFile none\nListenAddress 127.0.0.1\n\
    Subsystem sftp internal-sftp\nPermitRootLogin prohibit-password\n";

/// Who logs in; on a manager there is an account for it.
const ME: &str = "root@127.0.0.1";

fn put(path: &Path, text: &str) {
    fs::write(path, text).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A node's credential as its card has it, under a name.
fn put_join(dir: &Path, name: &str, join: &JoinIdentity) {
    put(&dir.join(name), &join.key);
    put(&dir.join(format!("{name}-cert.pub")), &format!("{}\n", join.certificate));
}

fn start_sshd(dir: &Path) -> Server {
    put(&dir.join("sshd_config"), &CONFIG.replace("DIR", &dir.display().to_string()));
    // sshd separates its privileges in it, and no service has made it here.
    fs::create_dir_all("/run/sshd").expect("the tier runs as root");
    Server::start(|port| {
        let mut command = Command::new(find("sshd").expect("it is there"));
        let config = dir.join("sshd_config");
        command.args(["-D", "-q", "-p", &port.to_string(), "-f"]).arg(config).stderr(Stdio::null());
        command
    })
}

/// Logs in with a credential, as the asker does; `more` are options and a command.
fn ssh(dir: &Path, server: &Server, credential: &str, more: &[&str]) -> Said {
    let (port, identity) = (server.port.to_string(), dir.join(credential).display().to_string());
    let known = format!("UserKnownHostsFile={}", dir.join("known_hosts").display());
    let words = ["ssh", "-F", "none", "-p", &port, "-i", &identity, "-o", &known, "-o", "HostKeyAlias=pi1"];
    let options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"];
    run(dir, &[&words[..], &options, more].concat())
}

#[test]
fn ssh_keygen_reads_what_was_meant() {
    if !oracles() {
        return;
    }
    let desk = Desk::new();
    let dir = desk.dir.path();
    let join = desk.join("pi2", TIME);
    put_join(dir, "pi2", &join);
    let text = run(dir, &["env", "TZ=UTC", "ssh-keygen", "-L", "-f", "pi2-cert.pub"]).text;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(lines.contains(&"Type: ssh-ed25519-cert-v01@openssh.com user certificate"), "{text}");
    assert!(lines.contains(&"Key ID: \"pi2\""), "{text}");
    // TIME is 2025-11-20T09:00:01Z, and the cluster file says 30 days.
    assert!(lines.contains(&"Valid: before 2025-12-20T09:00:01"), "{text}");
    let from = lines.iter().position(|line| *line == "Principals:").expect("there are some");
    let expected = ["Principals:", "pibake-join", "Critical Options:"];
    assert_eq!(lines[from..from + 3], expected, "{text}");
    assert_eq!(lines[from + 3], "force-command /usr/lib/pibake/swarm-ask pi2 worker");
    assert_eq!(lines[from + 4], "Extensions: (none)");
    let public = run(dir, &["ssh-keygen", "-y", "-f", "pi2"]).text;
    put(&dir.join("pi2.pub"), &public);
    put(&dir.join("ca.pub"), &join.ca);
    let fingerprint = |file: &str| run(dir, &["ssh-keygen", "-l", "-f", file]).text;
    let (own, ca) = (fingerprint("pi2.pub"), fingerprint("ca.pub"));
    let word = |text: &str| text.split(' ').nth(1).expect("it is a fingerprint").to_owned();
    assert!(text.contains(&word(&own)) && text.contains(&word(&ca)), "{text}");
    assert_ne!(word(&own), word(&ca));
}

#[test]
fn sshd_lets_a_certificate_do_one_thing() {
    if !oracles() {
        return;
    }
    let desk = Desk::new();
    let dir = desk.dir.path();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    put_join(dir, "expired", &desk.join("pi2", TIME));
    let good = desk.join("pi2", now);
    put_join(dir, "good", &good);
    put_join(dir, "foreign", &Desk::new().join("pi2", now));
    put(&dir.join("bare"), &good.key);
    put_join(dir, "revoked", &desk.join("pi3", now));
    let revoked = desk.keys(&["revoke", "pi3"]).ends(0).out;
    put(&dir.join("revoked"), revoked.lines().next().expect("it says the line"));
    put_join(dir, "renewed", &desk.join("pi3", now));
    check_logins(dir, &desk, &good);
}

/// The first manager, which trusts the CA of this credential.
fn start_manager(dir: &Path, desk: &Desk, time: i64, credential: &JoinIdentity) -> Server {
    let host = desk.identity("pi1", time).expect("it is there").host_keys;
    put(&dir.join("host_key"), &host[0].private);
    put(&dir.join("known_hosts"), &format!("pi1 {}\n", credential.managers[0].host_keys[0]));
    put(&dir.join("ca.pub"), &credential.ca);
    put(&dir.join("principals"), "pibake-join\n");
    start_sshd(dir)
}

#[test]
fn sshd_lets_in_whom_the_join_authority_of_its_card_has_signed() {
    if !oracles() {
        return;
    }
    let desk = Desk::new();
    let dir = desk.dir.path();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let old = desk.join("pi2", now);
    put_join(dir, "old", &old);
    put(&dir.join("revoked"), "");
    let server = start_manager(dir, &desk, now, &old);
    let line = desk.keys_at(now, &["rotate", "join", "--yes"]).ends(0).out;
    put_join(dir, "new", &desk.join("pi2", now));
    let logins = |let_in: &str, refused: &str| {
        let said = ssh(dir, &server, let_in, &[ME, "id"]);
        assert!(said.text.contains("/usr/lib/pibake/swarm-ask"), "{let_in}: {said:?}");
        let said = ssh(dir, &server, refused, &[ME, "id"]);
        assert!(!said.well && said.text.contains("Permission denied"), "{refused}: {said:?}");
    };
    logins("old", "new");
    // What the operator is told to do on managers that run already.
    put(&dir.join("ca.pub"), line.lines().next().expect("it says the line"));
    logins("new", "old");
}

fn check_logins(dir: &Path, desk: &Desk, good: &JoinIdentity) {
    let server = start_manager(dir, desk, TIME, good);
    for (credential, role) in [("good", "pi2 worker"), ("renewed", "pi3 manager")] {
        // There is no such program here, and nothing else is run.
        let said = ssh(dir, &server, credential, &[ME, "id"]);
        assert!(
            said.text.contains("/usr/lib/pibake/swarm-ask") && !said.text.contains("uid="),
            "{role}: {said:?}"
        );
    }
    for refused in ["expired", "foreign", "bare", "revoked"] {
        let said = ssh(dir, &server, refused, &[ME, "id"]);
        assert!(!said.well && said.text.contains("Permission denied"), "{refused}: {said:?}");
    }
    let said = ssh(dir, &server, "good", &["-tt", ME, "id"]);
    assert!(said.text.contains("PTY allocation request failed"), "{said:?}");
    let said = ssh(dir, &server, "good", &["-W", &format!("127.0.0.1:{}", server.port), ME]);
    assert!(!said.well && said.text.contains("administratively prohibited"), "{said:?}");
    // What a subsystem says on standard error is dropped; sftp itself would end well here.
    let said = ssh(dir, &server, "good", &["-s", ME, "sftp"]);
    assert!(!said.well, "{said:?}");
    put(&dir.join("principals"), "somebody-else\n");
    let said = ssh(dir, &server, "good", &[ME, "id"]);
    assert!(!said.well && said.text.contains("Permission denied"), "{said:?}");
    put(&dir.join("known_hosts"), &format!("pi1 {}\n", good.managers[1].host_keys[0]));
    let said = ssh(dir, &server, "good", &[ME, "id"]);
    assert!(!said.well && said.text.contains("Host key verification failed"), "{said:?}");
}
