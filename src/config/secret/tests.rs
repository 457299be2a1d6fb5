//! Fetching secrets: each once, all that is missing at once, nothing shown.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Ask, Outside, Request, Resolver, placeholders};
use crate::config::types::{Node, NodeSecrets, Secret, SecretSource};
use crate::config::{Selection, load};
use crate::seed::Seed;

/// A person who answers every question with the question, or has no terminal.
#[derive(Default)]
struct Person {
    asked: Vec<String>,
    absent: bool,
    hangs_up: bool,
}

impl Ask for Person {
    fn available(&self) -> bool {
        !self.absent
    }

    fn prompt(&mut self, text: &str) -> io::Result<Secret> {
        self.asked.push(text.to_owned());
        if self.hangs_up { Err(io::Error::other("closed")) } else { Ok(Secret::new(text.to_owned())) }
    }
}

/// A machine that has what begins with `good`, and counts.
#[derive(Default)]
struct Machine {
    fetched: Vec<String>,
}

impl Machine {
    fn fetch(&mut self, what: String) -> io::Result<Secret> {
        self.fetched.push(what.clone());
        if what.contains("good") {
            Ok(Secret::new("hunter2hunter2\r\n".to_owned()))
        } else {
            Err(io::Error::other("no such thing"))
        }
    }
}

impl Outside for Machine {
    fn variable(&mut self, name: &str) -> Option<Secret> {
        self.fetch(name.to_owned()).ok().map(|_| Secret::new("from the environment".to_owned()))
    }

    fn file(&mut self, path: &Path) -> io::Result<(Secret, bool)> {
        Ok((self.fetch(path.display().to_string())?, path.ends_with("good-open")))
    }

    fn command(&mut self, words: &[String]) -> io::Result<Secret> {
        self.fetch(words.join(" "))
    }
}

/// Three nodes that share these lines.
fn nodes(shared: &str) -> Vec<Node> {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let nodes: String =
        (1..=3).map(|n| format!("[[node]]\nname = \"pi{n}\"\naddress = \"10.0.0.{n}/8\"\n")).collect();
    std::fs::write(dir.path().join("pibake.toml"), format!("name = \"c\"\n{shared}\n{nodes}"))
        .expect("it can be written");
    let selection = Selection { cwd: dir.path().to_owned(), ..Selection::default() };
    load(&selection).unwrap_or_else(|errors| panic!("{errors}")).nodes
}

fn requests(nodes: &[Node]) -> Vec<Request<'_>> {
    const NONE: &BTreeMap<String, SecretSource> = &BTreeMap::new();
    nodes.iter().map(|node| Request { node, overlay_params: Vec::new(), swarm_secrets: NONE }).collect()
}

fn resolve(
    person: &mut Person,
    machine: &mut Machine,
    requests: &[Request<'_>],
) -> (Result<Vec<NodeSecrets>, Vec<String>>, Vec<String>) {
    let mut resolver = Resolver::new(person, machine, Path::new("/base"), Path::new("/home/me"));
    let result = resolver.resolve(requests, &Seed::new([1; 32])).map_err(|errors| errors.lines().to_vec());
    (result, resolver.warnings().to_vec())
}

#[test]
fn every_source_is_asked_once_a_run() {
    let nodes = nodes(
        "[user]\npassword = { prompt = \"same question\" }\n[[account]]\nname = \"a\"\n\
         password = { prompt = \"same question\" }\n[[account]]\nname = \"b\"\npassword = { command = [\"good\", \"x\"] }\n\
         [network.wifi]\nssid = \"s\"\ncountry = \"DE\"\npsk = { env = \"good\" }",
    );
    let (mut person, mut machine) = (Person::default(), Machine::default());
    let (secrets, warnings) = resolve(&mut person, &mut machine, &requests(&nodes));
    let secrets = secrets.expect("everything is there");
    assert_eq!(person.asked, ["same question"]);
    assert_eq!(machine.fetched, ["good x", "good"]);
    assert!(warnings.is_empty());
    assert_eq!(secrets.len(), 3);
    let hash = |node: usize| secrets[node].user_hash.as_ref().expect("it has a password").expose().to_owned();
    assert!(hash(0).starts_with("$6$") && hash(0) != hash(1), "each node has a salt of its own");
    assert_eq!(secrets[0].account_hashes.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(secrets[0].wifi_psk.as_ref().expect("it has Wi-Fi").expose().len(), 64);
    assert_eq!(secrets[0].wifi_psk, secrets[2].wifi_psk);
}

#[test]
fn files_start_from_the_base_and_lose_one_newline() {
    let nodes = nodes(
        "[user]\npassword = { file = \"x/good\" }\n[network.wifi]\nssid = \"s\"\ncountry = \"DE\"\npsk = { file = \"~/good-open\" }",
    );
    let mut all = requests(&nodes[..1]);
    let parameter = (0, "token".to_owned(), SecretSource::File("x/good".into()));
    all[0].overlay_params.push(parameter);
    let (mut person, mut machine) = (Person::default(), Machine::default());
    let (secrets, warnings) = resolve(&mut person, &mut machine, &all);
    let secrets = secrets.expect("everything is there");
    assert_eq!(machine.fetched, ["/base/x/good", "/home/me/good-open"]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("chmod 600 /home/me/good-open"), "{warnings:?}");
    assert_eq!(secrets[0].overlay_params[&(0, "token".to_owned())].expose(), "hunter2hunter2");
}

#[test]
fn everything_missing_is_told_at_once_and_before_anybody_is_asked() {
    let nodes = nodes(
        "[user]\npassword = { prompt = \"p\" }\n[[account]]\nname = \"a\"\npassword = { file = \"absent\" }\n\
         [[account]]\nname = \"b\"\npassword = { command = [\"fails\", \"secret-argument\"] }\n\
         [network.wifi]\nssid = \"s\"\ncountry = \"DE\"\npsk = { env = \"UNSET\" }",
    );
    let (mut person, mut machine) = (Person::default(), Machine::default());
    let errors = resolve(&mut person, &mut machine, &requests(&nodes)).0.expect_err("three are missing");
    assert_eq!(
        errors,
        [
            "password of a: cannot read /base/absent: no such thing",
            "password of b: cannot run fails: no such thing",
            "psk of the Wi-Fi network s: the environment variable UNSET is not set",
        ]
    );
    assert!(person.asked.is_empty());
}

#[test]
fn without_a_terminal_questions_are_missing_like_everything_else() {
    let nodes = nodes(
        "[user]\npassword = { prompt = \"p\" }\n[[account]]\nname = \"a\"\npassword = { file = \"absent\" }",
    );
    let (mut person, mut machine) = (Person { absent: true, ..Person::default() }, Machine::default());
    let errors = resolve(&mut person, &mut machine, &requests(&nodes)).0.expect_err("nobody answers");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("no terminal") && errors[1].contains("absent"), "{errors:?}");
    assert!(person.asked.is_empty());
}

#[test]
fn a_question_that_is_not_answered_is_not_asked_again() {
    let nodes = nodes("[user]\npassword = { prompt = \"p\" }");
    let (mut person, mut machine) = (Person { hangs_up: true, ..Person::default() }, Machine::default());
    let errors = resolve(&mut person, &mut machine, &requests(&nodes)).0.expect_err("nobody answers");
    assert_eq!(errors, ["password of pi: cannot ask for \"p\": closed"]);
    assert_eq!(person.asked, ["p"], "once, although three nodes want it");
}

#[test]
fn secrets_that_do_not_fit_are_refused_unprinted() {
    let nodes = nodes(
        "[network.wifi]\nssid = \"s\"\ncountry = \"DE\"\npsk = { prompt = \"short\" }\n[user]\npassword = { prompt = \"a\\nb\" }",
    );
    let (mut person, mut machine) = (Person::default(), Machine::default());
    let errors = resolve(&mut person, &mut machine, &requests(&nodes)).0.expect_err("both are unfit");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|error| !error.contains("short")), "{errors:?}");
}

#[test]
fn placeholders_have_the_shape_of_the_real_ones() {
    let nodes = nodes(
        "[user]\npassword = { prompt = \"p\" }\n[[account]]\nname = \"a\"\npassword = \"clear text\"\n\
         [[account]]\nname = \"locked\"\n[network.wifi]\nssid = \"s\"\ncountry = \"DE\"\npsk = { env = \"good\" }",
    );
    let mut all = requests(&nodes);
    all[0].overlay_params.push((0, "token".to_owned(), SecretSource::Env("good".to_owned())));
    let (mut person, mut machine) = (Person::default(), Machine::default());
    let real = resolve(&mut person, &mut machine, &all).0.expect("everything is there");
    let shape = |secrets: &NodeSecrets| {
        let accounts: Vec<String> = secrets.account_hashes.keys().cloned().collect();
        let params: Vec<_> = secrets.overlay_params.keys().cloned().collect();
        let length = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().len());
        (length(&secrets.user_hash), accounts, length(&secrets.wifi_psk), params)
    };
    assert_eq!(shape(&placeholders(&all[0])), shape(&real[0]));
    assert!(placeholders(&all[0]).user_hash.expect("there is one").expose().contains("(secret)"));
}
