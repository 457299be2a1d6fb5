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
            let path = dir.join(name);
            if private::read(&path)?.is_some_and(|there| there.as_slice() != text.as_bytes()) {
                return Err(StateError::InTheWay { path });
            }
        }
        for (name, text) in files {
            let path = dir.join(name);
            private::write_new(&path, text.as_bytes(), dir)?;
        }
        Ok(())
    }
}
