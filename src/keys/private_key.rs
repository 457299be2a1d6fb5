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

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use rcgen::KeyPair;

    use super::{EC, KeyError, VERSION, header, read};

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
    }

    #[test]
    fn lengths_are_in_their_shortest_form() {
        assert_eq!(header(4, 0), [4, 0]);
        assert_eq!(header(4, 0x7f), [4, 0x7f]);
        assert_eq!(header(4, 0x80), [4, 0x81, 0x80]);
        assert_eq!(header(0x30, 0x1234), [0x30, 0x82, 0x12, 0x34]);
    }

    #[test]
    fn an_older_form_is_the_same_key_and_may_come_after_its_parameters() {
        let key = KeyPair::generate().expect("it can be made");
        let pkcs8 = key.serialize_der();
        // SEQUENCE, version, algorithm, OCTET STRING: the heads are of 3, 3, 21 and 2 bytes here.
        let start = 3 + VERSION.len() + EC[0].len() + 2;
        let sec1 = pem("EC PRIVATE KEY", &pkcs8[start..]);
        let read_back = read(&(pem("EC PARAMETERS", &[6, 1, 1]) + &sec1)).expect("it is a key");
        assert_eq!(read_back.serialize_der(), pkcs8);
    }

    #[test]
    fn cut_and_foreign_keys_are_refused() {
        let der = KeyPair::generate().expect("it can be made").serialize_der();
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            for length in 0..der.len() {
                assert!(read(&pem(label, &der[..length])).is_err(), "{label} {length}");
            }
        }
        for (text, unsupported) in [
            (pem("ENCRYPTED PRIVATE KEY", &der), true),
            (pem("RSA PRIVATE KEY", &der), true),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".to_owned(), true),
            (pem("CERTIFICATE", &der), false),
            (String::new(), false),
            ("-----BEGIN PRIVATE KEY-----\n".to_owned(), false),
        ] {
            let Err(error) = read(&text) else { panic!("{text} was read") };
            assert_eq!(matches!(error, KeyError::Unsupported { .. }), unsupported, "{error}");
        }
    }
}
