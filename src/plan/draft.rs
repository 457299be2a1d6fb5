//! A plan in the making: changes by path, conflicts noticed as they come up, errors collected.

use std::collections::BTreeMap;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::plan::change::{Action, Change, Content, FileSpec};

use super::error::PlanError;

/// Where a change comes from, and why it is made.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) origin: String,
    pub(super) why: String,
}

impl Reason {
    pub(super) fn new(origin: impl Into<String>, why: impl Into<String>) -> Self {
        Self { origin: origin.into(), why: why.into() }
    }
}

/// What has been planned so far.
#[derive(Default)]
pub(super) struct Draft {
    renames: Vec<Change>,
    changes: BTreeMap<(Volume, FsPath), Change>,
    errors: Vec<PlanError>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// A draft without errors.
pub(super) struct Finished {
    /// In the order they are applied.
    pub(super) changes: Vec<Change>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Draft {
    /// Notes something that stands in the way.
    pub(super) fn error(&mut self, error: PlanError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// The value, or `None` with the error noted.
    pub(super) fn note<T>(&mut self, result: Result<T, PlanError>) -> Option<T> {
        result.map_err(|error| self.error(error)).ok()
    }

    /// Notes something that was decided.
    pub(super) fn say(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Notes something a person should know.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Plans a file of the root filesystem.
    pub(super) fn file(&mut self, path: FsPath, content: Content, meta: Meta, reason: &Reason) {
        self.put(Volume::Root, path, Action::File(FileSpec::new(content, meta)), reason);
    }

    /// Plans a file of the root filesystem that anybody may see.
    pub(super) fn text(&mut self, path: FsPath, text: impl Into<Vec<u8>>, meta: Meta, reason: &Reason) {
        self.file(path, Content::Bytes(text.into()), meta, reason);
    }

    /// Plans that what stands at a path of the root filesystem goes.
    pub(super) fn remove(&mut self, path: FsPath, reason: &Reason) {
        self.put(Volume::Root, path, Action::Remove, reason);
    }

    /// Plans a symbolic link in the root filesystem.
    pub(super) fn link(&mut self, path: FsPath, target: impl Into<String>, reason: &Reason) {
        self.put(Volume::Root, path, Action::Symlink { target: target.into() }, reason);
    }

    /// Plans that an entry gets another name. Renames come first of all.
    pub(super) fn rename(&mut self, path: FsPath, to: &str, reason: &Reason) {
        let action = Action::Rename { to: to.to_owned() };
        let Reason { origin, why } = reason.clone();
        self.renames.push(Change { volume: Volume::Root, path, action, origin, why });
    }

    /// Plans a change. Asking for the same thing twice is fine, for two different things is not.
    pub(super) fn put(&mut self, volume: Volume, path: FsPath, action: Action, reason: &Reason) {
        let key = (volume, path.clone());
        let Reason { origin, why } = reason.clone();
        let change = Change { volume, path, action, origin, why };
        match self.changes.get(&key) {
            None => {
                self.changes.insert(key, change);
            }
            Some(first) if same(&first.action, &change.action) => {}
            Some(first) => {
                let error = conflict(first, &change);
                self.error(error);
            }
        }
    }

    /// What is planned for a path of the root filesystem.
    pub(super) fn planned(&self, path: &FsPath) -> Option<&Action> {
        self.changes.get(&(Volume::Root, path.clone())).map(|change| &change.action)
    }

    /// Every change planned so far but renames.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.values()
    }

    /// What was planned, or everything in the way.
    pub(super) fn finish(mut self) -> Result<Finished, Vec<PlanError>> {
        self.check_nesting();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        // What goes, goes first: a name may be wanted again in another form by a parent link.
        let (removals, others): (Vec<_>, Vec<_>) =
            self.changes.into_values().partition(|change| matches!(change.action, Action::Remove));
        let changes = self.renames.into_iter().chain(removals).chain(others).collect();
        Ok(Finished { changes, notes: self.notes, warnings: self.warnings })
    }

    /// Nothing may be made below what goes, or below what is a file.
    fn check_nesting(&mut self) {
        let mut errors = Vec::new();
        for change in self.changes.values() {
            if matches!(change.action, Action::Remove) {
                continue;
            }
            let mut above = change.path.parent();
            while let Some(path) = above {
                above = path.parent();
                let Some(other) = self.changes.get(&(change.volume, path)) else { continue };
                if matches!(other.action, Action::Remove | Action::File(_)) {
                    errors.push(conflict(other, change));
                }
            }
        }
        for error in errors {
            self.error(error);
        }
    }
}

fn conflict(first: &Change, second: &Change) -> PlanError {
    PlanError::Conflict {
        path: second.path.to_string(),
        first: first.origin.clone(),
        second: second.origin.clone(),
    }
}

fn same(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::Directory(a), Action::Directory(b)) | (Action::SetMeta(a), Action::SetMeta(b)) => a == b,
        (Action::File(a), Action::File(b)) => {
            a.meta == b.meta
                && a.immutable == b.immutable
                && a.xattrs == b.xattrs
                && same_content(&a.content, &b.content)
        }
        (Action::Symlink { target: a }, Action::Symlink { target: b }) => a == b,
        (Action::Remove, Action::Remove) => true,
        _ => false,
    }
}

fn same_content(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (Content::Bytes(a), Content::Bytes(b)) => a == b,
        (Content::Secret(a), Content::Secret(b)) => a == b,
        (
            Content::HostFile { sha256: a, size: a_size, .. },
            Content::HostFile { sha256: b, size: b_size, .. },
        ) => a == b && a_size == b_size,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Draft, Reason};
    use crate::fs::metadata::Meta;
    use crate::fs::path::FsPath;
    use crate::plan::change::{Action, Content};
    use crate::plan::error::PlanError;

    fn path(text: &str) -> FsPath {
        FsPath::new(text).unwrap()
    }

    #[test]
    fn the_same_twice_is_fine_and_different_things_are_not() {
        let (first, second) = (Reason::new("overlay a", "x"), Reason::new("overlay b", "x"));
        let mut draft = Draft::default();
        draft.text(path("/etc/x"), "1", Meta::root(0o644), &first);
        draft.text(path("/etc/x"), "1", Meta::root(0o644), &second);
        draft.text(path("/etc/x"), "1", Meta::root(0o600), &second);
        draft.text(path("/etc/x"), "2", Meta::root(0o644), &second);
        draft.file(path("/etc/x"), Content::Secret(b"1".to_vec().into()), Meta::root(0o644), &second);
        draft.remove(path("/etc/x"), &second);
        let errors = draft.finish().map(|_| ()).unwrap_err();
        let expected = PlanError::Conflict {
            path: "/etc/x".to_owned(),
            first: "overlay a".to_owned(),
            second: "overlay b".to_owned(),
        };
        assert_eq!(errors, [expected]);
    }

    #[test]
    fn nothing_is_made_below_a_file_or_below_what_goes() {
        let reason = Reason::new("a", "x");
        for blocker in [true, false] {
            let mut draft = Draft::default();
            draft.text(path("/etc/x/deep/y"), "", Meta::root(0o644), &reason);
            if blocker {
                draft.remove(path("/etc/x"), &reason);
            } else {
                draft.text(path("/etc/x"), "", Meta::root(0o644), &reason);
            }
            assert_eq!(draft.finish().map(|_| ()).unwrap_err().len(), 1);
        }
    }

    #[test]
    fn renames_come_first_then_removals_then_the_rest_by_path() {
        let reason = Reason::new("a", "x");
        let mut draft = Draft::default();
        draft.text(path("/home/b/.x"), "", Meta::root(0o644), &reason);
        draft.remove(path("/z"), &reason);
        draft.rename(path("/home/a"), "b", &reason);
        let changes = draft.finish().map(|finished| finished.changes).unwrap();
        let order: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(order, ["/home/a", "/z", "/home/b/.x"]);
        assert!(matches!(changes[0].action, Action::Rename { .. }));
    }
}
