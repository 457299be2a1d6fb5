//! Paths inside an image, never to be mixed with paths of this machine (`std::path::Path`).

use std::fmt;

/// An absolute, normalised path inside a filesystem of the image: begins with `/`, has no empty, `.` or
/// `..` component, no NUL, no component over 255 bytes. The root itself is `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FsPath(String);

/// Why a text is no path inside an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path inside an image: {reason}")]
pub struct BadPath {
    path: String,
    reason: &'static str,
}

impl FsPath {
    /// The root directory.
    #[must_use]
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Parses an absolute path; doubled and trailing slashes are dropped.
    ///
    /// # Errors
    /// When it is relative, holds `.`, `..` or NUL, or has a component over 255 bytes.
    pub fn new(path: &str) -> Result<Self, BadPath> {
        let bad = |reason| BadPath { path: path.to_owned(), reason };
        if !path.starts_with('/') {
            return Err(bad("it does not begin with '/'"));
        }
        let mut clean = String::with_capacity(path.len());
        for name in path.split('/').filter(|name| !name.is_empty()) {
            check_name(name).map_err(bad)?;
            clean.push('/');
            clean.push_str(name);
        }
        if clean.is_empty() {
            clean.push('/');
        }
        Ok(Self(clean))
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// When `name` is no single component.
    pub fn join(&self, name: &str) -> Result<Self, BadPath> {
        if name.is_empty() || name.contains('/') {
            return Err(BadPath { path: name.to_owned(), reason: "it is no single name" });
        }
        check_name(name).map_err(|reason| BadPath { path: name.to_owned(), reason })?;
        Ok(if self.is_root() { Self(format!("/{name}")) } else { Self(format!("{}/{name}", self.0)) })
    }

    /// Whether this is the root directory.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The text, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// The directory it stands in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, name) = self.0.rsplit_once('/')?;
        if name.is_empty() {
            return None;
        }
        Some(Self(if parent.is_empty() { "/".to_owned() } else { parent.to_owned() }))
    }

    /// The components in order; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether this path is `other` or lies below it.
    #[must_use]
    pub fn starts_with(&self, other: &FsPath) -> bool {
        other.is_root()
            || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "." | ".." => Err("'.' and '..' are not allowed"),
        _ if name.contains('\0') => Err("it holds a NUL"),
        _ if name.len() > 255 => Err("a name in it is longer than 255 bytes"),
        _ => Ok(()),
    }
}

impl fmt::Display for FsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::str::FromStr for FsPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        Self::new(text)
    }
}

impl serde::Serialize for FsPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for FsPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::FsPath;

    #[test]
    fn normalises_and_refuses() {
        assert_eq!(FsPath::new("//etc///hosts/").unwrap().as_str(), "/etc/hosts");
        assert!(FsPath::new("/").unwrap().is_root());
        for bad in ["", "etc", "/a/../b", "/./a", "/a\0b"] {
            assert!(FsPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(FsPath::new(&format!("/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn takes_apart() {
        let path = FsPath::new("/etc/ssh/sshd_config").unwrap();
        assert_eq!(path.name(), Some("sshd_config"));
        assert_eq!(path.parent().unwrap().as_str(), "/etc/ssh");
        assert_eq!(FsPath::new("/etc").unwrap().parent().unwrap(), FsPath::root());
        assert!(FsPath::root().parent().is_none());
        assert!(path.starts_with(&FsPath::new("/etc").unwrap()));
        assert!(!FsPath::new("/etcetera").unwrap().starts_with(&FsPath::new("/etc").unwrap()));
    }
}
