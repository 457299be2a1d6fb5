//! A client's files where Docker looks for them.

use std::path::Path;

use super::error::StateError;
use super::identity::TlsIdentity;
use super::lock::LockedState;
use super::private;

impl LockedState<'_> {
    /// Writes `ca.pem`, `cert.pem` and `key.pem` (0600) into a directory, made if need be, that nobody else may enter.
    /// Files that are there stay: [`StateError::InTheWay`] when one is another.
    ///
    /// # Errors
    /// When one is in the way, or cannot be written.
    pub fn export(&self, dir: &Path, client: &TlsIdentity) -> Result<(), StateError> {
        private::create_dir(dir)?;
        let files = [("ca.pem", &client.ca), ("cert.pem", &client.certificate), ("key.pem", &client.key)];
        for (name, text) in files {
            clear(&dir.join(name), text)?;
        }
        for (name, text) in files {
            let path = dir.join(name);
            if !private::write_new(&path, text.as_bytes(), dir)? {
                clear(&path, text)?;
            }
        }
        Ok(())
    }
}

/// Nothing may be there but the same.
fn clear(path: &Path, text: &str) -> Result<(), StateError> {
    match private::read(path)? {
        Some(there) if there.as_slice() != text.as_bytes() => {
            Err(StateError::InTheWay { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}
