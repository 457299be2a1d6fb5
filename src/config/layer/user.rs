//! `[user]` and `[[account]]`.

use crate::config::document::Value;
use crate::config::keys::read_keys;
use crate::config::paths::Paths;
use crate::config::place::{At, Place, value_of};
use crate::config::secret::check_password;
use crate::config::section::Section;
use crate::config::syntax::name::{account, group};
use crate::config::syntax::system::crypt_hash;
use crate::config::types::{Account, Password, Secret, SecretSource, Sudo, User};

/// What the image calls its first account.
const STOCK_NAME: &str = "pi";

/// The key of a password.
const PASSWORD: &str = "password";

/// A password and where it was written.
pub(in crate::config) type PasswordLayer = At<Password>;

/// `[user]` as one file wrote it.
#[derive(Clone, Default)]
pub(in crate::config) struct UserLayer {
    /// The nearest section there is.
    pub(in crate::config) place: Option<Place>,
    /// For the check that no account has it too.
    pub(in crate::config) name: Option<At<String>>,
    authorized_keys: Option<Vec<String>>,
    /// Whether a key or the password was reported as wrong, and so must not be reported as missing.
    pub(in crate::config) wrong: bool,
    /// For the checks of what it is needed for.
    pub(in crate::config) password: Option<PasswordLayer>,
    /// For the check that there is a password to ask for.
    pub(in crate::config) sudo: Option<At<Sudo>>,
}

/// One `[[account]]`.
#[derive(Clone)]
pub(in crate::config) struct AccountLayer {
    /// What it says.
    pub(in crate::config) account: Account,
    /// Where it stands.
    pub(in crate::config) place: Place,
    /// Whether a key or the password was reported as wrong.
    pub(in crate::config) wrong: bool,
}

/// What lets somebody log in.
struct Credentials {
    keys: Option<Vec<String>>,
    password: Option<PasswordLayer>,
    wrong: bool,
}

impl Credentials {
    fn read(section: &Section<'_>, paths: Paths<'_>) -> Self {
        let keys = read_keys(section, paths);
        let password = read_password(section);
        let wrong =
            keys.as_ref().is_some_and(|keys| keys.wrong) || (password.is_none() && section.has(PASSWORD));
        Self { keys: keys.map(|keys| keys.lines), password, wrong }
    }
}

impl UserLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        let credentials = Credentials::read(&section, paths);
        let layer = Self {
            place: Some(section.place().clone()),
            name: section.parsed("name", account),
            authorized_keys: credentials.keys,
            wrong: credentials.wrong,
            password: credentials.password,
            sudo: read_sudo(&section),
        };
        section.finish();
        layer
    }

    /// Key by key; lists are replaced.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            place: self.place.or_else(|| below.place.clone()),
            name: self.name.or_else(|| below.name.clone()),
            wrong: self.wrong || below.wrong,
            authorized_keys: self.authorized_keys.or_else(|| below.authorized_keys.clone()),
            password: self.password.or_else(|| below.password.clone()),
            sudo: self.sudo.or_else(|| below.sudo.clone()),
        }
    }

    /// With the defaults filled in.
    pub(in crate::config) fn settle(&self) -> User {
        User {
            name: value_of(self.name.as_ref()).unwrap_or_else(|| STOCK_NAME.to_owned()),
            authorized_keys: self.authorized_keys.clone().unwrap_or_default(),
            password: value_of(self.password.as_ref()),
            sudo: value_of(self.sudo.as_ref()).unwrap_or_default(),
        }
    }
}

/// Reads every `[[account]]` of a file's top level or of a node.
pub(in crate::config) fn read_accounts(
    section: &Section<'_>,
    prefix: &str,
    paths: Paths<'_>,
) -> Vec<AccountLayer> {
    let sections = section.sections("account", &format!("[[{prefix}account]]")).unwrap_or_default();
    sections.into_iter().filter_map(|section| AccountLayer::read(section, paths)).collect()
}

impl AccountLayer {
    fn read(section: Section<'_>, paths: Paths<'_>) -> Option<Self> {
        let name = section.require("name", section.parsed("name", account));
        let credentials = Credentials::read(&section, paths);
        let groups = section.parsed_list("groups", group).unwrap_or_default();
        let sudo = read_sudo(&section);
        let place = section.place().clone();
        section.finish();
        let account = Account {
            name: name?.value,
            authorized_keys: credentials.keys.unwrap_or_default(),
            groups: groups.into_iter().map(|at| at.value).collect(),
            password: credentials.password.map(|at| at.value),
            sudo: sudo.map(|at| at.value),
        };
        Some(Self { account, place, wrong: credentials.wrong })
    }
}

fn read_sudo(section: &Section<'_>) -> Option<At<Sudo>> {
    section.choice("sudo", &[("nopasswd", Sudo::Nopasswd), ("password", Sudo::Password)])
}

/// A secret's source, or `{ hash = "…" }`.
fn read_password(section: &Section<'_>) -> Option<PasswordLayer> {
    let item = section.item(PASSWORD)?;
    let wrong = |message: String| {
        section.report().error(&item.place, format!("{}: {message}", section.name(PASSWORD)));
        None
    };
    if let Value::Table(table) = &item.value
        && let Some(hash) = table.item("hash")
    {
        let (Value::Text(hash), 1) = (&hash.value, table.entries.len()) else {
            return wrong("`hash` is a string and stands alone: { hash = \"$6$…\" }".to_owned());
        };
        return match crypt_hash(hash) {
            Ok(()) => {
                Some(At { value: Password::Hash(Secret::new(hash.clone())), place: item.place.clone() })
            }
            Err(message) => wrong(message),
        };
    }
    if matches!(&item.value, Value::Text(text) if crypt_hash(text).is_ok()) {
        return wrong("this is a hash; write { hash = \"…\" }".to_owned());
    }
    let source = section.secret(PASSWORD)?;
    if let SecretSource::Plain(secret) = &source.value
        && let Err(message) = check_password(secret)
    {
        return wrong(message);
    }
    Some(At { value: Password::Source(source.value), place: source.place })
}
