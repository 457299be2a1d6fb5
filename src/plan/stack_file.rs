//! What a plan looks at of a compose file: the part of its third version that `docker stack deploy` reads
//! (docs.docker.com, "Compose file version 3 reference"). Everything else of it is Docker's business.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Budget, Spanned};

/// Bytes of a rendered file; a swarm takes no larger object (its raft log has 1 MiB an entry).
const SIZE_MAX: usize = 1 << 20;

/// A compose file.
#[derive(Debug, Deserialize)]
pub(super) struct StackSpec {
    #[serde(default)]
    pub(super) version: Option<String>,
    pub(super) services: BTreeMap<String, Spanned<Service>>,
    #[serde(default)]
    networks: Option<BTreeMap<String, Option<Resource>>>,
    #[serde(default)]
    secrets: Option<BTreeMap<String, Option<Resource>>>,
    #[serde(default)]
    configs: Option<BTreeMap<String, Option<Resource>>>,
}

/// One of `services`.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    pub(super) image: Option<String>,
    #[serde(default)]
    pub(super) build: Option<IgnoredAny>,
    #[serde(default)]
    networks: Option<Uses>,
    #[serde(default)]
    secrets: Option<Uses>,
    #[serde(default)]
    configs: Option<Uses>,
}

/// What a service uses of the file's networks, secrets or configs, in the short form or the long one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Uses {
    List(Vec<Use>),
    Map(BTreeMap<String, IgnoredAny>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Use {
    Name(String),
    Long { source: String },
}

impl Uses {
    fn names(&self) -> Vec<&str> {
        match self {
            Uses::List(uses) => {
                let names = uses.iter().map(|used| match used {
                    Use::Name(name) | Use::Long { source: name } => name.as_str(),
                });
                names.collect()
            }
            Uses::Map(uses) => uses.keys().map(String::as_str).collect(),
        }
    }
}

/// One of `networks`, `secrets` or `configs`.
#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    external: Option<External>,
    #[serde(default)]
    file: Option<String>,
}

/// `external: true`, or the old way to say its name with it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum External {
    Flag(bool),
    Named { name: Option<String> },
}

/// Why a text is no stack.
#[derive(Debug)]
pub(super) struct NotAStack {
    /// The line of the rendered text, from 1.
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl StackSpec {
    /// Reads a rendered text.
    pub(super) fn parse(text: &str) -> Result<Self, NotAStack> {
        if text.len() > SIZE_MAX {
            let message = format!("it has {} KiB, and a swarm takes no more than 1024", text.len() / 1024);
            return Err(NotAStack { line: None, message });
        }
        let options = serde_saphyr::options! {
            with_snippet: false,
            budget: budget(),
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| not_a_stack(&error))
    }

    /// The names of the networks that have to be there before.
    pub(super) fn external_networks(&self) -> impl Iterator<Item = &str> {
        external(self.networks.as_ref())
    }

    /// The names of the secrets that have to be there before.
    pub(super) fn external_secrets(&self) -> impl Iterator<Item = &str> {
        external(self.secrets.as_ref())
    }

    /// The names of the configs that have to be there before.
    pub(super) fn external_configs(&self) -> impl Iterator<Item = &str> {
        external(self.configs.as_ref())
    }

    /// What a service uses and the file does not define: each with what it would be.
    pub(super) fn undefined<'a>(&'a self, service: &'a Service) -> Vec<(&'static str, &'a str)> {
        let kinds = [
            ("network", &service.networks, &self.networks),
            ("secret", &service.secrets, &self.secrets),
            ("config", &service.configs, &self.configs),
        ];
        let mut undefined = Vec::new();
        for (kind, uses, defined) in kinds {
            let known = |name: &str| {
                defined.as_ref().is_some_and(|defined| defined.contains_key(name))
                    || (kind == "network" && name == "default")
            };
            let names = uses.iter().flat_map(Uses::names).filter(|name| !known(name));
            undefined.extend(names.map(|name| (kind, name)));
        }
        undefined
    }

    /// The files that secrets and configs are made from.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let resources = self.secrets.iter().chain(&self.configs).flatten();
        resources.filter_map(|(_, resource)| resource.as_ref()?.file.as_deref())
    }
}

fn not_a_stack(error: &serde_saphyr::Error) -> NotAStack {
    let line = error.location().and_then(|at| usize::try_from(at.line()).ok()).filter(|line| *line > 0);
    let message = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("{key} is there twice"),
        other => other.to_string(),
    };
    // The line is told with the stack's name.
    let message = match message.split(" at line ").next().unwrap_or_default() {
        // Within an alias the error has another type, and the same words.
        breach if breach.starts_with("budget breached") => "it is larger or deeper than any stack",
        message => message,
    };
    NotAStack { line, message: message.to_owned() }
}

fn budget() -> Option<Budget> {
    serde_saphyr::budget! {
        max_events: 100_000,
        max_nodes: 50_000,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_depth: 32,
        max_documents: 1,
    }
}

fn external(resources: Option<&BTreeMap<String, Option<Resource>>>) -> impl Iterator<Item = &str> {
    resources.into_iter().flatten().filter_map(|(key, resource)| {
        let resource = resource.as_ref()?;
        let own = resource.name.as_deref().unwrap_or(key);
        match resource.external.as_ref()? {
            External::Flag(true) => Some(own),
            External::Flag(false) => None,
            External::Named { name } => Some(name.as_deref().unwrap_or(own)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::StackSpec;

    fn refused(text: &str) -> (Option<usize>, String) {
        let error = StackSpec::parse(text).map(|_| ()).unwrap_err();
        (error.line, error.message)
    }

    #[test]
    fn what_is_looked_at() {
        let spec = StackSpec::parse(
            "version: \"3.8\"\nx-env: &env {A: 1}\nservices:\n  web:\n    image: web:1\n    environment: {<<: *env}\n\
             networks:\n  default:\n  a: {external: true}\n  b: {external: {name: lan}}\n  c: {external: true, name: wan}\n  d: {external: false}\n\
             secrets:\n  key: {external: true}\n  own: {file: ./x}\n",
        );
        let spec = spec.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(spec.version.as_deref(), Some("3.8"));
        assert_eq!(spec.files().collect::<Vec<_>>(), ["./x"]);
        assert_eq!(StackSpec::parse("version: 3.8\nservices: {}").unwrap().version.as_deref(), Some("3.8"));
        assert_eq!(spec.services["web"].value.image.as_deref(), Some("web:1"));
        assert_eq!(spec.services["web"].referenced.line(), 5);
        assert_eq!(spec.external_networks().collect::<Vec<_>>(), ["a", "lan", "wan"]);
        let uses = StackSpec::parse(
            "services:\n  web:\n    networks: {a: {aliases: [x]}, default: }\n    secrets: [b, {source: c, target: y}]\n    configs: [d]\n\
             secrets: {b: {external: true}}\n",
        );
        let uses = uses.unwrap_or_else(|error| panic!("{error:?}"));
        let undefined = uses.undefined(&uses.services["web"].value);
        assert_eq!(undefined, [("network", "a"), ("secret", "c"), ("config", "d")]);
        assert_eq!(spec.external_secrets().collect::<Vec<_>>(), ["key"]);
    }

    #[test]
    fn what_is_no_stack_is_told_with_its_line() {
        assert!(refused("version: '3'\n").1.contains("services"));
        assert!(refused("- a\n").1.len() > 3);
        assert!(refused("").1.len() > 3);
        let (line, message) = refused("services:\n  web:\n    image: [a\n  x: y\n");
        assert!(line.is_some_and(|line| line >= 3), "{line:?} {message}");
        let (line, _) = refused("services:\n  web:\n    image: {a: b}\n");
        assert_eq!(line, Some(3));
        let twice = refused("services:\n  web: {image: a}\n  web: {image: b}\n");
        assert_eq!(twice, (Some(3), "web is there twice".to_owned()));
        assert_eq!(
            refused(&" ".repeat(2 << 20)),
            (None, "it has 2048 KiB, and a swarm takes no more than 1024".to_owned())
        );
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, below) in
            ["b", "c", "d", "e", "f", "g", "h"].into_iter().zip(["a", "b", "c", "d", "e", "f", "g"])
        {
            let aliases = vec![format!("*{below}"); 9].join(", ");
            text += &format!("{name}: &{name} [{aliases}]\n");
        }
        let bomb = refused(&format!("{text}services: {{}}\n"));
        assert_eq!(bomb.1, "it is larger or deeper than any stack");
        refused(&"[".repeat(10_000));
        refused(&format!("services: {}", "{a: ".repeat(5_000)));
    }
}
