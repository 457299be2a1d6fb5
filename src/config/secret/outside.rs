//! Secrets from this machine: its environment, its files, its programs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::resolve::Outside;
use crate::config::types::Secret;

/// No secret is longer: a wrong file name must not fill the memory.
const SECRET_MAX: u64 = 64 * 1024;

/// Runs a program and gives its standard output.
pub type Run<'a> = &'a mut dyn FnMut(&[String]) -> io::Result<Vec<u8>>;

/// This process's environment and files; programs are run by what the caller gives, who knows which user
/// they belong to.
pub struct ThisMachine<'a> {
    run: Run<'a>,
}

impl<'a> ThisMachine<'a> {
    /// Takes what runs programs.
    pub fn new(run: Run<'a>) -> Self {
        Self { run }
    }
}

impl Outside for ThisMachine<'_> {
    fn variable(&mut self, name: &str) -> Option<Secret> {
        std::env::var(name).ok().map(Secret::new)
    }

    fn file(&mut self, path: &Path) -> io::Result<(Secret, bool)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(SECRET_MAX + 1).read_to_end(&mut bytes)?;
        Ok((text(bytes)?, others_may_read(&metadata)))
    }

    fn command(&mut self, words: &[String]) -> io::Result<Secret> {
        text((self.run)(words)?)
    }
}

fn text(bytes: Vec<u8>) -> io::Result<Secret> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if bytes.len() as u64 > SECRET_MAX {
        return Err(invalid("it is too long for a secret"));
    }
    String::from_utf8(bytes).map(Secret::new).map_err(|_| invalid("it is no text"))
}

#[cfg(unix)]
fn others_may_read(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.is_file() && metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn others_may_read(_metadata: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Outside, ThisMachine};

    #[test]
    fn files_are_read_and_too_long_or_binary_ones_refused() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let mut run = |_: &[String]| Err(io::Error::other("nothing runs here"));
        let mut machine = ThisMachine::new(&mut run);
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\n").expect("it can be written");
        assert_eq!(machine.file(&path).expect("it can be read").0.expose(), "hunter2\n");
        std::fs::write(&path, [0xff, 0xfe]).expect("it can be written");
        assert!(machine.file(&path).is_err());
        std::fs::write(&path, vec![b'a'; 70_000]).expect("it can be written");
        assert!(machine.file(&path).is_err());
        assert!(machine.file(&dir.path().join("absent")).is_err());
        assert!(machine.command(&["x".to_owned()]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn files_others_may_read_are_told() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory can be made");
        let mut run = |_: &[String]| Ok(Vec::new());
        let mut machine = ThisMachine::new(&mut run);
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").expect("it can be written");
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(machine.file(&path).expect("it can be read").1, open, "{mode:o}");
        }
    }
}
