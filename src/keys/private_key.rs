//! Private keys of TLS: PEM in the forms that openssl writes, PKCS #8 inside.

use rcgen::KeyPair;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::error::{KeyError, damaged};

const WHAT: &str = "the private key";

/// DER of `INTEGER 0`, the version of PKCS #8.
const VERSION: &[u8] = &[0x02, 1, 0];
/// DER of rsaEncryption (1.2.840.113549.1.1.1) with its NULL, as RFC 3279 wants it.
const RSA: &[u8] = &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
/// DER of id-ecPublicKey (1.2.840.10045.2.1) with the curve: prime256v1, secp384r1.
const EC: [&[u8]; 2] = [
    &[0x30, 19, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    &[0x30, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 0x04, 0, 0x22],
];

/// Reads a private key: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC), in PEM.
///
/// # Errors
/// When there is none, it is damaged, encrypted, or of a kind that cannot sign here.
pub(super) fn read(text: &str) -> Result<KeyPair, KeyError> {
    // The older forms say so in a header (RFC 1421), with which they are no PEM of today (RFC 7468).
    if text.lines().any(|line| line.starts_with("Proc-Type:") && line.trim_end().ends_with("ENCRYPTED")) {
        return Err(encrypted());
    }
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        let block = block.map_err(|_| damaged(WHAT, "is no PEM"))?;
        let contents = Zeroizing::new(block.contents);
        let candidates = match block.label.as_str() {
            "ENCRYPTED PRIVATE KEY" => return Err(encrypted()),
            "PRIVATE KEY" => vec![contents],
            "RSA PRIVATE KEY" => vec![wrap(RSA, &contents)],
            "EC PRIVATE KEY" => EC.iter().map(|curve| wrap(curve, &contents)).collect(),
            // What `openssl ecparam -genkey` writes before the key, or a certificate in the same file.
            _ => continue,
        };
        let key = candidates.iter().find_map(|der| KeyPair::try_from(der.as_slice()).ok());
        return key.ok_or_else(unusable);
    }
    Err(damaged(WHAT, "is missing: there is no PEM block `PRIVATE KEY`"))
}

fn encrypted() -> KeyError {
    KeyError::Unsupported {
        what: "an encrypted private key".to_owned(),
        instead: "decrypt it with `openssl pkey`, import it, and then say `pibake keys protect`",
    }
}

fn unusable() -> KeyError {
    KeyError::Unsupported {
        what: "this private key".to_owned(),
        instead: "it may be EC (P-256, P-384), Ed25519 or RSA (2048 bits or more), and must be whole",
    }
}

/// The older forms inside PKCS #8 (RFC 5208): version, algorithm, and the key as an octet string.
fn wrap(algorithm: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let inner = Zeroizing::new([VERSION, algorithm, &header(0x04, key.len()), key].concat());
    Zeroizing::new([&header(0x30, inner.len()), inner.as_slice()].concat())
}

/// A DER tag and length, in the shortest form.
fn header(tag: u8, length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match (bytes.len(), bytes.first()) {
        (0, _) => vec![tag, 0],
        (1, Some(byte)) if *byte < 0x80 => vec![tag, *byte],
        // At most eight bytes of a length: it fits.
        (count, _) => [vec![tag, 0x80 | count as u8], bytes].concat(),
    }
}
