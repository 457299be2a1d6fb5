//! Templates: minijinja in strict mode, where an undefined variable is an error and never an empty text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, escape_formatter};
use serde_json::json;

use super::build::Inputs;
use crate::config::net::Net;
use crate::config::types::{Cluster, Node, Secret};

/// A parameter's value.
#[derive(Clone, Debug)]
pub(super) enum ParamValue {
    /// Anybody may see it.
    Plain(toml::Value),
    /// It is a secret.
    Secret(Secret),
}

/// What came out of a template.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Whether a secret parameter was looked at on the way.
    pub(super) secret: bool,
}

/// Why a template did not render.
#[derive(Debug)]
pub(super) struct RenderError {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// Renders templates of one node.
pub(super) struct Renderer {
    environment: Environment<'static>,
    globals: BTreeMap<String, Value>,
}

impl Renderer {
    /// Gathers what templates of this node see.
    pub(super) fn new(inputs: &Inputs<'_>) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(format_value);
        environment.add_function("refuse", refuse);
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().expect("the usual delimiters do not clash"));
        let globals = BTreeMap::from([
            ("cluster".to_owned(), Value::from(Serde(cluster_value(inputs.cluster, inputs.node)))),
            ("node".to_owned(), Value::from(Serde(node_value(inputs.node)))),
            ("image".to_owned(), Value::from(Serde(image_value(inputs)))),
            ("bake".to_owned(), Value::from(Serde(bake_value(inputs)))),
        ]);
        Self { environment, globals }
    }

    /// Renders one template with its overlay's parameters.
    pub(super) fn render(
        &self,
        name: &str,
        template: &str,
        params: &BTreeMap<String, ParamValue>,
    ) -> Result<Rendered, RenderError> {
        let with = Arc::new(With { params: params.clone(), secret_seen: AtomicBool::new(false) });
        let mut context = self.globals.clone();
        context.insert("with".to_owned(), Value::from_dyn_object(Arc::clone(&with)));
        let text = self
            .environment
            .render_named_str(name, template, Value::from(context))
            .map_err(|error| RenderError { line: error.line(), message: message_of(&error) })?;
        Ok(Rendered { text, secret: with.secret_seen.load(Ordering::Relaxed) })
    }
}

/// The parameters, as an object that notices when a secret one is looked at: whatever the template does
/// with it then, the result counts as made from a secret.
#[derive(Debug)]
struct With {
    params: BTreeMap<String, ParamValue>,
    secret_seen: AtomicBool,
}

impl Object for With {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.params.get(key.as_str()?)? {
            ParamValue::Plain(value) => Some(Value::from(Serde(value))),
            ParamValue::Secret(secret) => {
                self.secret_seen.store(true, Ordering::Relaxed);
                Some(Value::from(secret.expose()))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.params.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

/// Values as configuration files spell them: `true`, not Python's `True`. What is none has no text: a file
/// that says `none` where a gateway should be is worse than an error.
fn format_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_none() {
        return Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            "the value is none; test for it first",
        ));
    }
    match bool::try_from(value.clone()) {
        Ok(flag) if value.kind() == ValueKind::Bool => {
            escape_formatter(out, state, &Value::from(flag.to_string()))
        }
        _ => escape_formatter(out, state, value),
    }
}

/// For templates whose parameters can be wrong in ways that a type does not tell.
fn refuse(message: &str) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// The kind and the detail, without the template's text around it.
fn message_of(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn node_value(node: &Node) -> serde_json::Value {
    json!({
        "name": node.name,
        "address": format!("{}/{}", node.address, node.prefix),
        "ip": node.address,
        "role": node.role,
        "labels": node.labels,
        "index": node.index,
    })
}

fn cluster_value(cluster: &Cluster, node: &Node) -> serde_json::Value {
    let network = &node.network;
    json!({
        "name": cluster.name,
        "network": {
            "interface": network.interface,
            "cidr": Net::of(node.address, node.prefix).to_string(),
            "gateway": network.gateway,
            "dns": network.dns,
            "search": network.search,
            "resolv_conf": network.resolv_conf,
        },
        "nodes": cluster.nodes.iter().map(node_value).collect::<Vec<_>>(),
    })
}

fn image_value(inputs: &Inputs<'_>) -> serde_json::Value {
    let inventory = inputs.inventory;
    json!({
        "release": inventory.release,
        "arch": inventory.arch,
        "stack": inventory.stack,
        "firmware": inventory.firmware_mount,
    })
}

fn bake_value(inputs: &Inputs<'_>) -> serde_json::Value {
    json!({
        "time": super::clock::rfc3339(inputs.bake_time),
        "version": inputs.version,
    })
}
