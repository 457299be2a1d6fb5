//! Secrets, hashes and keys of users.

use super::{Desk, KEY, errors, file, loaded, one_error_at, only_node};

#[test]
fn secrets_in_clear_are_accepted_with_a_warning_and_never_shown() {
    let cluster = loaded(&file("", "", "password = \"hunter2\"", ""));
    assert_eq!(cluster.warnings.len(), 1);
    assert!(cluster.warnings[0].starts_with("pibake.toml:7: `password` in [user]"), "{:?}", cluster.warnings);
    assert!(!format!("{cluster:?}").contains("hunter2"));
}

#[test]
fn wrong_secrets_are_refused_and_never_shown() {
    for user in [
        "password = { value = \"hunter2\" }",
        "password = { prompt = \"a\", env = \"hunter2\" }",
        "password = { hash = \"hunter2\" }",
        "password = { hash = \"$6$salt$hunter2\" }",
        "password = { hash = 3 }",
        "password = 3",
        "password = \"\"",
        "password = \"hunter2\\n\"",
    ] {
        let found = errors(&file("", "", user, ""));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("pibake.toml:7:") && !found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn hashes_are_told_apart() {
    let hash = format!("$y$j9T$salt${}", "a".repeat(43));
    let node = only_node(loaded(&file("", "", &format!("password = {{ hash = \"{hash}\" }}"), "")));
    assert!(node.user.password.expect("there is one").is_yescrypt());
    let hash = format!("$6$salt${}", "a".repeat(86));
    let node = only_node(loaded(&file("", "", &format!("password = {{ hash = \"{hash}\" }}"), "")));
    assert!(!node.user.password.expect("there is one").is_yescrypt());
    one_error_at(&file("", "", &format!("password = \"{hash}\""), ""), "password", &["{ hash = \"…\" }"]);
}

#[test]
fn authorized_keys_are_read_and_checked() {
    let desk = Desk::new();
    desk.write("two.pub", &format!("{KEY}\nfrom=\"10.0.0.0/8\",no-pty {KEY}\n"));
    let with_keys = |keys: &str| file("", "", &format!("authorized_keys = [{keys}]"), "");
    let cluster = desk.load(&with_keys("\"two.pub\", \"~/.ssh/id_ed25519.pub\"")).expect("they are keys");
    assert_eq!(only_node(cluster).user.authorized_keys.len(), 2);

    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n";
    desk.write("id", private);
    desk.write("empty.pub", "# nothing\n");
    desk.write("cut.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0\n");
    desk.write("putty.pub", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n");
    for (keys, says) in [
        ("\"id\"", "id is a private key"),
        ("\"\"\"-----BEGIN OPENSSH PRIVATE KEY-----\\nhunter2\"\"\"", "this is a private key"),
        ("\"b3BlbnNzaC1rZXktdjEAAAAAhunter2\"", "this is a private key"),
        ("\"absent.pub\"", "no such file"),
        ("\"empty.pub\"", "holds no public key"),
        ("\"cut.pub\"", "cut.pub:1"),
        ("\"putty.pub\"", "ssh-keygen -i"),
        ("\"home\"", "not a file"),
        ("\"ssh-ed25519 AAAA\"", "is it whole?"),
        ("\"\"", "neither a public key nor the path"),
        ("3", "expected a string"),
    ] {
        let found = desk.load(&with_keys(keys)).expect_err(keys);
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert!(found[0].contains(says) && !found[0].contains("hunter2"), "{keys}: {found:?}");
    }
}
