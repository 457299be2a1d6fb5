//! What openssl and docker make of the TLS certificates.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pibake::state::identity::TlsIdentity;

use super::desk::{Desk, TIME};
use super::tools::{Said, Server, find, oracles, run};

/// Answers as dockerd does to `docker version`, to those whose certificate is good for a client.
const ENGINE: &str = r#"
import http.server, json, ssl, sys
class Engine(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = json.dumps({"Version": "stand-in", "ApiVersion": "1.43", "Os": "linux", "Arch": "arm64"}).encode()
        self.send_response(200)
        for name, value in (("Api-Version", "1.43"), ("Content-Type", "application/json"), ("Content-Length", len(body))):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    do_GET = do_HEAD = answer
    def log_message(self, *words): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("pi1/cert.pem", "pi1/key.pem")
context.load_verify_locations("pi1/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Engine)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"#;

fn put(dir: &Path, name: &str, tls: &TlsIdentity) {
    let dir = dir.join(name);
    fs::create_dir(&dir).expect("it can be made");
    for (name, text) in [("ca.pem", &tls.ca), ("cert.pem", &tls.certificate), ("key.pem", &tls.key)] {
        fs::write(dir.join(name), text).expect("it can be written");
    }
}

/// A desk with directories `pi1` (a server), `operator` (a client), and `stranger` (a client of another cluster).
fn desk() -> Desk {
    let desk = Desk::new();
    put(desk.dir.path(), "pi1", &desk.tls("pi1", TIME));
    desk.keys(&["export", "operator"]).ends(0);
    let other = Desk::new();
    other.tls("pi1", TIME);
    other.keys(&["export", "operator"]).ends(0);
    let copied = run(
        desk.dir.path(),
        &["cp", "-r", &other.dir.path().join("operator").display().to_string(), "stranger"],
    );
    assert!(copied.well, "{copied:?}");
    desk
}

fn openssl(desk: &Desk, words: &[&str]) -> Said {
    run(desk.dir.path(), &[&["openssl"], words].concat())
}

#[test]
fn openssl_reads_the_limits() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let text = |file| openssl(&desk, &["x509", "-noout", "-text", "-in", file]).text;
    let lines = |text: &str, heading: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(heading)).map(str::trim);
        (lines.next().unwrap_or_default().to_owned(), lines.next().unwrap_or_default().to_owned())
    };
    let ca = text("pi1/ca.pem");
    let critical = |name: &str| format!("X509v3 {name}: critical");
    assert_eq!(lines(&ca, "Basic Constraints"), (critical("Basic Constraints"), "CA:TRUE, pathlen:0".into()));
    assert_eq!(lines(&ca, "Key Usage"), (critical("Key Usage"), "Certificate Sign".into()));
    for (file, usage) in [
        ("pi1/cert.pem", "TLS Web Server Authentication"),
        ("operator/cert.pem", "TLS Web Client Authentication"),
    ] {
        let leaf = text(file);
        assert_eq!(lines(&leaf, "Basic Constraints"), (critical("Basic Constraints"), "CA:FALSE".into()));
        assert_eq!(lines(&leaf, "Extended Key Usage").1, usage);
        assert!(leaf.contains("id-ecPublicKey") && leaf.contains("P-256"), "{leaf}");
    }
    let names = lines(&text("pi1/cert.pem"), "Alternative Name").1;
    let expected = "IP Address:127.0.0.1, IP Address:192.168.0.1, DNS:localhost, DNS:pi1, DNS:pi1.lan";
    assert_eq!(names, expected);
    assert!(!text("operator/cert.pem").contains("Alternative Name"));
}

#[test]
fn openssl_verifies_each_for_its_own_purpose_only() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let verify = |file: &str, more: &[&str]| {
        let words = ["verify", "-x509_strict", "-CAfile", "pi1/ca.pem"];
        openssl(&desk, &[&words[..], more, &[file]].concat()).well
    };
    let (server, client) = ("pi1/cert.pem", "operator/cert.pem");
    assert!(verify(server, &["-purpose", "sslserver"]));
    assert!(!verify(server, &["-purpose", "sslclient"]));
    assert!(verify(client, &["-purpose", "sslclient"]));
    assert!(!verify(client, &["-purpose", "sslserver"]));
    assert!(!verify("stranger/cert.pem", &["-purpose", "sslclient"]));
    for (option, name, good) in [
        ("-verify_hostname", "pi1", true),
        ("-verify_hostname", "pi1.lan", true),
        ("-verify_hostname", "localhost", true),
        ("-verify_hostname", "pi10", false),
        ("-verify_ip", "192.168.0.1", true),
        ("-verify_ip", "127.0.0.1", true),
        ("-verify_ip", "192.168.0.2", false),
    ] {
        assert_eq!(verify(server, &[option, name]), good, "{name}");
    }
    for (days, good) in [(-1, true), (-3, false), (5 * 365 - 1, true), (5 * 365 + 1, false)] {
        let time = (TIME + days * 86_400).to_string();
        assert_eq!(verify(server, &["-attime", &time]), good, "{days}");
    }
}

#[test]
fn a_leaf_can_sign_nothing_and_no_authority_fits_below_the_authority() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let make = |words: &[&str]| {
        let made = openssl(&desk, words);
        assert!(made.well, "{}", made.text);
    };
    make(&[
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=evil", "-keyout", "evil.key", "-out",
        "evil.csr",
    ]);
    fs::write(desk.dir.path().join("ca.ext"), "basicConstraints=critical,CA:TRUE\n")
        .expect("it can be written");
    let ca_key = desk.state_dir().join("tls/ca-key.pem").display().to_string();
    for (signer, key) in [("pi1/cert.pem", "pi1/key.pem"), ("pi1/ca.pem", ca_key.as_str())] {
        make(&[
            "x509",
            "-req",
            "-in",
            "evil.csr",
            "-CA",
            signer,
            "-CAkey",
            key,
            "-CAcreateserial",
            "-extfile",
            "ca.ext",
            "-out",
            "middle.pem",
        ]);
        make(&[
            "x509",
            "-req",
            "-in",
            "evil.csr",
            "-CA",
            "middle.pem",
            "-CAkey",
            "evil.key",
            "-CAcreateserial",
            "-out",
            "leaf.pem",
        ]);
        let chain =
            [signer, "middle.pem"].map(|file| fs::read(desk.dir.path().join(file)).expect("it is there"));
        fs::write(desk.dir.path().join("chain.pem"), chain.concat()).expect("it can be written");
        let words = ["verify", "-CAfile", "pi1/ca.pem", "-untrusted", "chain.pem", "leaf.pem"];
        let verified = openssl(&desk, &words);
        assert!(!verified.well, "{signer}: {}", verified.text);
    }
}

#[test]
fn a_tls_server_lets_in_clients_and_nobody_else() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let server = Server::start(|port| {
        let mut command = Command::new(find("openssl").expect("it is there"));
        command.current_dir(desk.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["s_server", "-www", "-Verify", "1", "-verify_return_error", "-CAfile", "pi1/ca.pem"]);
        command.args([
            "-cert",
            "pi1/cert.pem",
            "-key",
            "pi1/key.pem",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ]);
        command
    });
    let url = format!("https://localhost:{}/", server.port);
    let visit = |authority: &str, who: Option<&str>| {
        let (cert, key) =
            (format!("{}/cert.pem", who.unwrap_or("")), format!("{}/key.pem", who.unwrap_or("")));
        let shown = if who.is_some() { vec!["--cert", &cert, "--key", &key] } else { Vec::new() };
        let authority = format!("{authority}/ca.pem");
        run(desk.dir.path(), &[&["curl", "-sS", "--cacert", &authority, &url], &shown[..]].concat())
    };
    let operator = visit("operator", Some("operator"));
    assert!(operator.well && operator.text.contains("s_server"), "{operator:?}");
    for (authority, who) in [
        ("operator", None),
        ("operator", Some("pi1")),
        ("operator", Some("stranger")),
        ("stranger", Some("operator")),
    ] {
        let said = visit(authority, who);
        assert!(!said.well, "{who:?} with the CA of {authority}: {said:?}");
    }
}

#[test]
fn docker_takes_the_exported_directory() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let engine = Server::start(|port| {
        let mut command = Command::new(find("python3").expect("it is there"));
        command.current_dir(desk.dir.path()).args(["-c", ENGINE, &port.to_string()]).stderr(Stdio::null());
        command
    });
    let host = format!("tcp://127.0.0.1:{}", engine.port);
    let ask = |who: &str| {
        let file = |name: &str| format!("{who}/{name}.pem");
        let words = ["docker", "--tlsverify", "--tlscacert", "operator/ca.pem", "--tlscert", &file("cert")];
        let more = ["--tlskey", &file("key"), "-H", &host, "version", "--format", "{{.Server.Version}}"];
        run(desk.dir.path(), &[&words[..], &more].concat())
    };
    let operator = ask("operator");
    assert!(operator.well && operator.text.trim() == "stand-in", "{operator:?}");
    for refused in ["pi1", "stranger"] {
        let said = ask(refused);
        assert!(!said.well && !said.text.contains("stand-in"), "{refused}: {said:?}");
    }
    // As the printed line says it, with the address of this machine for the node's.
    let printed = desk.keys(&["export", "operator"]).ends(0).out;
    let line = printed.trim().replace("tcp://192.168.0.1:2376", &host);
    let created = run(desk.dir.path(), &["sh", "-c", &line]);
    assert!(created.well, "{created:?}");
    let said = run(
        desk.dir.path(),
        &["docker", "--context", "pibake-c", "version", "--format", "{{.Server.Version}}"],
    );
    assert!(said.well && said.text.trim() == "stand-in", "{said:?}");
}

#[test]
fn existing_authorities_are_imported_in_every_form_of_key() {
    if !oracles() {
        return;
    }
    let make = |desk: &Desk, words: &[&str]| {
        let made = openssl(desk, words);
        assert!(made.well, "{}", made.text);
    };
    let limits = [
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-addext",
        "basicConstraints=critical,CA:TRUE,pathlen:0",
    ];
    for (kind, convert) in [
        ("rsa:2048", &["pkey", "-in", "own.key", "-out", "key.pem"][..]),
        ("rsa:2048", &["rsa", "-traditional", "-in", "own.key", "-out", "key.pem"]),
        ("ec:prime256v1", &["pkey", "-in", "own.key", "-out", "key.pem"]),
        ("ec:prime256v1", &["ec", "-in", "own.key", "-out", "key.pem"]),
        ("ec:secp384r1", &["ec", "-in", "own.key", "-out", "key.pem"]),
        ("ed25519", &["pkey", "-in", "own.key", "-out", "key.pem"]),
    ] {
        let desk = desk();
        let curve = kind.strip_prefix("ec:").map(|curve| format!("ec_paramgen_curve:{curve}"));
        let kind = if curve.is_some() { "ec" } else { kind };
        let mut words =
            vec!["req", "-x509", "-newkey", kind, "-nodes", "-keyout", "own.key", "-out", "own.pem"];
        words.extend(curve.iter().flat_map(|curve| ["-pkeyopt", curve.as_str()]));
        words.extend(["-days", "4000", "-subj", "/C=DE/O=Ex ample/OU=Ünits/CN=Own CA"]);
        make(&desk, &[&words[..], &limits].concat());
        make(&desk, convert);
        // Its own time begins now.
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        desk.keys_at(now + 60, &["import", "own.pem", "key.pem", "--yes"]).ends(0);
        put(desk.dir.path(), "node", &desk.tls("pi2", now + 60));
        let verified = openssl(
            &desk,
            &["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "own.pem", "node/cert.pem"],
        );
        assert!(verified.well, "{kind}: {}", verified.text);
    }
}

#[test]
fn authorities_that_will_not_do_are_refused() {
    if !oracles() {
        return;
    }
    let desk = desk();
    let before = desk.tls("pi1", TIME).ca;
    let make = |name: &str, more: &[&str]| {
        let (key, out) = (format!("{name}.key"), format!("{name}.pem"));
        let words =
            ["req", "-x509", "-nodes", "-days", "4000", "-subj", "/CN=Own CA", "-keyout", &key, "-out", &out];
        let made = openssl(&desk, &[&words[..], more].concat());
        assert!(made.well, "{}", made.text);
    };
    let rsa = ["-newkey", "rsa:2048"];
    make("wide", &rsa);
    make("none", &[&rsa[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
    make("p521", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"]);
    make("small", &["-newkey", "rsa:1024"]);
    let words = ["pkey", "-in", "wide.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"];
    assert!(openssl(&desk, &words).well);
    let words =
        ["rsa", "-traditional", "-in", "wide.key", "-aes256", "-passout", "pass:x", "-out", "old-locked.key"];
    assert!(openssl(&desk, &words).well);
    let now = time::OffsetDateTime::now_utc().unix_timestamp() + 60;
    for (certificate, key, accept, message) in [
        ("wide.pem", "wide.key", false, "not limited as pibake's own is: pathlen 0 and keyUsage keyCertSign"),
        ("none.pem", "none.key", true, "none of a CA"),
        ("p521.pem", "p521.key", true, "is not supported"),
        ("small.pem", "small.key", true, "is not supported"),
        ("wide.pem", "small.key", true, "is not supported"),
        ("wide.pem", "none.key", true, "do not belong together"),
        ("wide.pem", "locked.key", true, "an encrypted private key is not supported"),
        ("wide.pem", "old-locked.key", true, "an encrypted private key is not supported"),
        ("wide.pem", "wide.pem", true, "private key is missing"),
        ("wide.key", "wide.key", true, "certificate is missing"),
        ("absent", "wide.key", true, "absent"),
    ] {
        let mut words = vec!["import", certificate, key, "--yes"];
        words.extend(accept.then_some("--accept-node-keys"));
        let ran = desk.keys_at(now, &words).ends(2);
        assert!(ran.err.contains(message), "{certificate} {key}: {}", ran.err);
    }
    let ran = desk.keys(&["import", "wide.pem", "wide.key", "--yes", "--accept-node-keys"]).ends(2);
    assert!(ran.err.contains("before") && ran.err.contains("SOURCE_DATE_EPOCH"), "{}", ran.err);
    assert_eq!(desk.tls("pi1", TIME).ca, before);
    desk.keys_at(now, &["import", "wide.pem", "wide.key", "--yes", "--accept-node-keys"]).ends(0);
    assert_ne!(desk.tls("pi1", now).ca, before);
}
