//! From a secret to what a card holds of it: a password's hash, a Wi-Fi network's key.

use data_encoding::HEXLOWER;
use sha_crypt::{PasswordHasher, ShaCrypt};
use zeroize::Zeroizing;

use crate::config::types::Secret;
use crate::seed::Seed;

/// IEEE 802.11i annex H.4: the key is PBKDF2-HMAC-SHA1(passphrase, SSID, 4096 rounds, 256 bits).
const PSK_ROUNDS: u32 = 4096;

/// The sha512crypt hash (`$6$`, 5000 rounds: more would slow every login on a Pi 1, and every release
/// knows the scheme). The salt is derived, so that the same inputs bake the same bytes.
///
/// # Errors
/// The end of a sentence saying why the text can be no password.
pub fn hash_password(password: &Secret, seed: &Seed, node: &str, account: &str) -> Result<Secret, String> {
    check_password(password)?;
    // 12 bytes are 16 characters of salt, the most that crypt(5) uses.
    let salt: [u8; 12] = seed.derive(node, &format!("password-salt:{account}"));
    let hash = ShaCrypt::SHA512
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|error| format!("cannot be hashed: {error}"))?;
    Ok(Secret::new(hash.to_string()))
}

/// The key of a WPA network as 64 hexadecimal digits, from a passphrase or from such digits.
///
/// # Errors
/// The end of a sentence saying why the text is neither.
pub fn wifi_psk(secret: &Secret, ssid: &str) -> Result<Secret, String> {
    check_psk(secret)?;
    let text = secret.expose();
    if text.len() == 64 {
        return Ok(Secret::new(text.to_ascii_lowercase()));
    }
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(pbkdf2::pbkdf2_hmac_array::<sha1::Sha1, 32>(
        text.as_bytes(),
        ssid.as_bytes(),
        PSK_ROUNDS,
    ));
    Ok(Secret::new(HEXLOWER.encode(key.as_slice())))
}

/// Whether a text can be typed as a password.
pub(in crate::config) fn check_password(password: &Secret) -> Result<(), String> {
    let text = password.expose();
    if text.is_empty() {
        Err("the password is empty".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("the password has control characters in it, which nobody can type".to_owned())
    } else {
        Ok(())
    }
}

/// Whether a text is a WPA passphrase (8 to 63 printable ASCII characters, IEEE 802.11i annex H.4) or a key.
pub(in crate::config) fn check_psk(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    let length = text.chars().count();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(())
    } else if !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        Err("a Wi-Fi passphrase has printable ASCII characters only".to_owned())
    } else if !(8..=63).contains(&length) {
        Err(format!(
            "a Wi-Fi passphrase has 8 to 63 characters (or is a key of 64 hexadecimal digits), this has {length}"
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sha_crypt::{PasswordVerifier, ShaCrypt};

    use super::{hash_password, wifi_psk};
    use crate::config::types::Secret;
    use crate::seed::Seed;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_hash_verifies_and_is_the_same_again() {
        let seed = Seed::new([7; 32]);
        let hash = hash_password(&secret("raspberry"), &seed, "pi1", "pi").expect("it can be hashed");
        assert_eq!(Ok(()), crate::config::syntax::system::crypt_hash(hash.expose()));
        assert!(ShaCrypt::SHA512.verify_password(b"raspberry", hash.expose()).is_ok());
        assert!(ShaCrypt::SHA512.verify_password(b"raspberry ", hash.expose()).is_err());
        assert_eq!(Ok(hash.clone()), hash_password(&secret("raspberry"), &seed, "pi1", "pi"));
        assert_ne!(Ok(hash.clone()), hash_password(&secret("raspberry"), &seed, "pi2", "pi"));
        assert_ne!(Ok(hash), hash_password(&secret("raspberry"), &seed, "pi1", "jenkins"));
    }

    #[test]
    fn passwords_nobody_can_type_are_refused() {
        let seed = Seed::new([7; 32]);
        for wrong in ["", "a\nb", "a\0", "\u{1b}[A"] {
            assert!(hash_password(&secret(wrong), &seed, "pi1", "pi").is_err(), "{wrong:?}");
        }
        assert!(hash_password(&secret("pä ss:wörd"), &seed, "pi1", "pi").is_ok());
    }

    #[test]
    fn wifi_keys_are_those_of_the_standard() {
        // Test vectors of IEEE 802.11i-2004, annex H.4.3.
        let key = wifi_psk(&secret("password"), "IEEE").expect("8 characters are enough");
        assert_eq!(key.expose(), "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e");
        let key = wifi_psk(&secret("ThisIsAPassword"), "ThisIsASSID").expect("it is a passphrase");
        assert_eq!(key.expose(), "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af");
        let key = wifi_psk(&secret(&"aB".repeat(32)), "x").expect("it is a key");
        assert_eq!(key.expose(), "ab".repeat(32));
    }

    #[test]
    fn what_is_neither_passphrase_nor_key_is_refused_unprinted() {
        for wrong in ["hunter2", &"x".repeat(64), "hunter2hünter", "hunter2\r\nx"] {
            let message = wifi_psk(&secret(wrong), "x").expect_err(wrong);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
