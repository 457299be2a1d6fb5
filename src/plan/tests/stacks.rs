//! `swarm.stacks` and `swarm.secrets` on managers' cards.

use crate::config::types::{Role, Secret, Swarm, SwarmNetwork};
use crate::deb::testing::package as debian;
use crate::fs::metadata::Meta;
use crate::inventory::types::Release;
use crate::plan::StackFile;
use crate::plan::change::{Action, Content};

use super::super::draft::Draft;
use super::super::stacks;
use super::Bench;

const STACK: &str = "version: \"3.8\"\nservices:\n  web:\n    image: web:1\n";

fn bench(text: &str) -> Bench {
    let mut bench = Bench::new(Release::Bookworm);
    let networks = vec![SwarmNetwork { name: "lan".to_owned(), attachable: true }];
    bench.cluster.swarm = Some(Swarm { networks, ..Swarm::default() });
    bench.staged.stacks = vec![StackFile { name: "web".to_owned(), text: text.to_owned() }];
    for node in ["pi1", "pi2", "pi3"] {
        bench.staged.preloaded.insert(node.to_owned(), ["web:1".to_owned()].into());
    }
    bench
}

/// The files planned, by path; and the warnings.
fn plan(bench: &Bench) -> (Vec<(String, Content, Meta)>, Vec<String>) {
    let mut draft = Draft::default();
    stacks::plan(&bench.inputs(), &mut draft);
    let finished = draft.finish().unwrap_or_else(|errors| panic!("{errors:?}"));
    let files = finished.changes.into_iter().map(|change| match change.action {
        Action::File(spec) => (change.path.as_str().to_owned(), spec.content, spec.meta),
        other => panic!("{other:?}"),
    });
    (files.collect(), finished.warnings)
}

fn warnings(text: &str) -> Vec<String> {
    plan(&bench(text)).1
}

fn errors_of(bench: &Bench) -> String {
    let mut draft = Draft::default();
    stacks::plan(&bench.inputs(), &mut draft);
    let errors = draft.finish().map(|_| ()).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn errors(text: &str) -> String {
    errors_of(&bench(text))
}

#[test]
fn a_manager_gets_the_stack_rendered_and_nobody_else_may_read_it() {
    let bench = bench(&format!("# {{{{ cluster.name }}}}, {{{{ cluster.nodes | length }}}} nodes\n{STACK}"));
    let (files, warnings) = plan(&bench);
    assert!(warnings.is_empty(), "{warnings:?}");
    let [(path, Content::Bytes(text), meta)] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((path.as_str(), *meta), ("/etc/pibake/swarm/stacks/web.yml", Meta::root(0o600)));
    assert_eq!(String::from_utf8_lossy(text), format!("# plexi, 3 nodes\n{STACK}"));
}

#[test]
fn a_worker_and_a_cluster_without_swarm_get_nothing() {
    let mut worker = bench(STACK);
    worker.node.role = Role::Worker;
    assert!(plan(&worker).0.is_empty());
    let mut without = bench(STACK);
    without.cluster.swarm = None;
    assert!(plan(&without).0.is_empty());
}

#[test]
fn secrets_are_secret() {
    let mut bench = bench(STACK);
    bench.secrets.swarm_secrets.insert("ldap".to_owned(), Secret::new("hunter2".to_owned()));
    let (files, _) = plan(&bench);
    let (_, content, meta) =
        files.iter().find(|(path, ..)| path == "/etc/pibake/swarm/secrets/ldap").unwrap();
    assert_eq!(*meta, Meta::root(0o600));
    assert!(matches!(content, Content::Secret(bytes) if bytes.as_slice() == b"hunter2"));
    assert!(!format!("{files:?}").contains("hunter2"));
}

#[test]
fn a_stack_is_the_same_on_every_manager() {
    let text = format!("# {{{{ node.name }}}}\n{STACK}");
    let mut bench = bench(&text);
    assert!(plan(&bench).0.len() == 1, "one manager alone may use `node`");
    bench.cluster.nodes[1].role = Role::Manager;
    let said = errors_of(&bench);
    assert!(said.starts_with("stack web: it would be another one on pi2 than on pi1"), "{said}");
    bench.staged.stacks[0].text = STACK.to_owned();
    assert_eq!(plan(&bench).0.len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_stack_and_line() {
    assert!(errors("version: '3'\nservices:\n  web: [\n").starts_with("stack web:"));
    assert!(errors(&format!("{STACK}x: {{{{ nothing }}}}\n")).starts_with("stack web:5: undefined value"));
    let said = errors(&format!("{STACK}    hostname: '{{{{.Node.Hostname}}}}'\n"));
    assert!(said.contains("{% raw %}") && said.starts_with("stack web:5:"), "{said}");
    let said = errors("version: '3'\nservices:\n  web:\n    build: .\n    image: web:1\n");
    assert!(said.contains("service web has `build`, and a swarm builds nothing"), "{said}");
    assert!(errors("version: '3'\nservices:\n  web: {}\n").contains("service web names no image"));
    let said = errors(&format!("{STACK}    networks: [lan]\n"));
    assert_eq!(said, "stack web:4: service web uses the network lan, which the file does not define");
    assert!(errors("version: '3'\nservices: {}\n").contains("it has no services"));
    assert!(errors("version: '3'\n").contains("services"));
    assert!(errors(&format!("{STACK}{{{{ with.password }}}}\n")).contains("undefined value"));
    let mut twice = bench(STACK);
    twice.staged.stacks.push(twice.staged.stacks[0].clone());
    assert_eq!(errors_of(&twice), "stack web: there is another stack of this name");
}

#[test]
fn old_dockers_need_a_version_in_the_file() {
    let text = STACK.strip_prefix("version: \"3.8\"\n").unwrap();
    assert_eq!(warnings(text).len(), 1, "which Docker it will be is not known");
    for (package, version, fine) in [
        ("docker.io", "20.10.24+dfsg1-1", false),
        ("docker-ce-cli", "5:26.1.4-1~debian.12~bookworm", true),
        ("docker-cli", "26.1.5+dfsg1-9", true),
    ] {
        let mut bench = bench(text);
        bench.inventory.packages.installed.push(debian(&format!("{package} {version}"), ""));
        if fine {
            assert!(plan(&bench).1.is_empty());
        } else {
            assert!(errors_of(&bench).contains("add `version: \"3.8\"`"));
        }
    }
}

#[test]
fn images_that_are_neither_preloaded_nor_in_a_registry() {
    let with = |image: &str| STACK.replace("web:1", image);
    for image in ["web:1", "docker.io/library/web:1", "ghcr.io/anna/x:2", "localhost:5000/x"] {
        assert!(warnings(&with(image)).is_empty(), "{image}");
    }
    for image in ["foo:1", "web", "web:2", "anna/web:1"] {
        assert_eq!(
            warnings(&with(image)),
            [format!(
                "stack web uses image {image}, which is not among docker.images and would have to be pulled"
            )]
        );
    }
    let mut some = bench(STACK);
    some.staged.preloaded.get_mut("pi2").unwrap().clear();
    assert_eq!(
        plan(&some).1,
        ["stack web uses image web:1, which pi2 would have to pull: it is not among their docker.images"]
    );
    assert!(warnings(&with("web:${TAG}"))[0].contains("nothing sets the variable"));
}

#[test]
fn networks_and_secrets_that_nobody_makes() {
    assert!(
        errors("version: '2.4'\nservices:\n  web: {image: web:1}\n")
            .contains("files of version 3, not \"2.4\"")
    );
    let text = format!("{STACK}configs:\n  a: {{file: ./a.conf}}\n  b: {{external: true}}\n");
    assert_eq!(
        warnings(&text),
        [
            "stack web needs the config b, which nothing makes",
            "stack web reads /etc/pibake/swarm/stacks/a.conf on the manager, which no overlay puts there; use [swarm.secrets]",
        ]
    );
    let text = format!(
        "{STACK}networks:\n  lan: {{external: true}}\n  wan: {{external: true}}\nsecrets:\n  key: {{external: true}}\n"
    );
    assert_eq!(
        warnings(&text),
        [
            "stack web needs the network wan, which is not in swarm.networks",
            "stack web needs the secret key, which is not in [swarm.secrets]",
        ]
    );
}
