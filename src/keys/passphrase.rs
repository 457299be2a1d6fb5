//! Private keys under a passphrase: age (age-encryption.org/v1) with scrypt. `age --decrypt` opens them too.

use std::io::Write;

use age::secrecy::SecretString;
use age::{DecryptError, Encryptor, scrypt};
use zeroize::Zeroizing;

use super::error::{KeyError, damaged, making};

/// What every age file begins with.
const HEADER: &[u8] = b"age-encryption.org/v1\n";

/// What guessing once costs, as a power of two: `age` takes the same, about a second.
const WORK: u8 = 18;

/// The most work that is accepted, as a power of two: a file from a fast machine must open on a busy slow one.
const WORK_MAX: u8 = 22;

/// Whether this is under a passphrase.
#[must_use]
pub fn is_protected(bytes: &[u8]) -> bool {
    bytes.starts_with(HEADER)
}

/// Puts a text under a passphrase.
///
/// # Errors
/// When there is no memory for it.
pub fn protect(text: &str, passphrase: &str) -> Result<Vec<u8>, KeyError> {
    protect_with(WORK, text, passphrase)
}

fn protect_with(work: u8, text: &str, passphrase: &str) -> Result<Vec<u8>, KeyError> {
    let failed = "a protected key";
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    recipient.set_work_factor(work);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(making(failed))?;
    let mut protected = Vec::new();
    let mut writer = encryptor.wrap_output(&mut protected).map_err(making(failed))?;
    writer.write_all(text.as_bytes()).map_err(making(failed))?;
    writer.finish().map_err(making(failed))?;
    Ok(protected)
}

/// Gets the text back.
///
/// # Errors
/// When the passphrase is wrong, or the bytes are damaged.
pub fn open(protected: &[u8], passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
    const WHAT: &str = "the protected key";
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(WORK_MAX);
    let text = age::decrypt(&identity, protected).map(Zeroizing::new).map_err(|error| match error {
        // A wrong passphrase and a damaged wrapped key look the same; the first is what happens.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => KeyError::WrongPassphrase,
        other => damaged(WHAT, format!("is damaged: {other}")),
    })?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged(WHAT, "is no text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{KeyError, is_protected, open, protect_with};

    #[test]
    fn a_passphrase_opens_what_it_protects_and_no_other_does() {
        let protected = protect_with(2, "the key", "correct horse").expect("it can be protected");
        assert!(is_protected(&protected) && !is_protected(b"-----BEGIN"));
        assert!(!String::from_utf8_lossy(&protected).contains("the key"));
        assert_eq!(open(&protected, "correct horse").expect("it is right").as_str(), "the key");
        assert_eq!(open(&protected, "battery").err(), Some(KeyError::WrongPassphrase));
        let cut = &protected[..protected.len() - 1];
        assert!(matches!(open(cut, "correct horse"), Err(KeyError::Damaged { .. })));
        assert!(matches!(open(&protected[..40], "correct horse"), Err(KeyError::Damaged { .. })));
    }
}
