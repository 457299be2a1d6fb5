//! Where everything comes from that is normally random: one secret of the cluster, and RFC 5869.

use std::fmt;

use zeroize::Zeroizing;

/// The seed that everything normally random is derived from, deterministically.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// Takes the 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// HKDF-SHA256 (RFC 5869) of this seed for one node and purpose: the same inputs give the same bytes.
    #[must_use]
    pub fn derive<const N: usize>(&self, node: &str, purpose: &str) -> [u8; N] {
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(b"pibake"), self.0.as_slice());
        let mut out = [0u8; N];
        // Node names hold no NUL, so the two parts cannot run into each other.
        let info = [node.as_bytes(), b"\0", purpose.as_bytes()].concat();
        hkdf.expand(&info, &mut out).expect("outputs are far shorter than 255 digests");
        out
    }
}
