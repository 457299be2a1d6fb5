//! TLS certificates of nodes and clients: kept, and made anew when they no longer serve.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::authorities::{Authorities, read_certificate};
use super::error::{StateError, corrupt};
use super::identity::TlsIdentity;
use super::lock::LockedState;
use super::{State, private};
use crate::config::types::{Cluster, Node};
use crate::keys::authority::{leaf_key, public_half};
use crate::keys::certificate::Certificate;
use crate::keys::leaf::Leaf;

/// Where one leaf's files are.
pub(super) struct Place {
    parent: PathBuf,
    dir: PathBuf,
}

impl Place {
    fn certificate(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }
}

/// A certificate and its key, as they are kept.
pub(super) struct Kept {
    pub(super) certificate: Certificate,
    pub(super) key: Zeroizing<String>,
}

impl State {
    pub(super) fn server_place(&self, node: &str) -> Place {
        let parent = self.tls_dir().join(super::NODES);
        Place { dir: parent.join(node), parent }
    }

    fn client_place(&self, name: &str) -> Place {
        let parent = self.tls_dir().join(super::CLIENTS);
        Place { dir: parent.join(name), parent }
    }

    /// The names and certificates of nodes that have one, as they are kept.
    ///
    /// # Errors
    /// When one is damaged, or open to others.
    pub fn server_certificates(&self) -> Result<Vec<(String, Certificate)>, StateError> {
        self.certificates(super::NODES)
    }

    /// The names and certificates of clients, as they are kept.
    ///
    /// # Errors
    /// When one is damaged, or open to others.
    pub fn client_certificates(&self) -> Result<Vec<(String, Certificate)>, StateError> {
        self.certificates(super::CLIENTS)
    }

    fn certificates(&self, kind: &str) -> Result<Vec<(String, Certificate)>, StateError> {
        let parent = self.tls_dir().join(kind);
        let mut found = Vec::new();
        for name in private::names(&parent)? {
            if let Some(certificate) = read_certificate(&parent.join(&name).join("cert.pem"))? {
                found.push((name, certificate));
            }
        }
        Ok(found)
    }

    /// What is kept of a leaf; `None` when it is incomplete, or signed by another authority than the present one.
    pub(super) fn kept(&self, place: &Place) -> Result<Option<Kept>, StateError> {
        let Some(authority) = self.tls_certificate()? else { return Ok(None) };
        if !private::check_dir(&place.dir)? {
            return Ok(None);
        }
        let certificate = read_certificate(&place.certificate())?;
        let key = private::read_text(&place.key())?;
        Ok(match (certificate, key) {
            (Some(certificate), Some(key)) if certificate.is_signed_by(&authority) => {
                let public = public_half(&key).map_err(|error| corrupt(&place.key(), error.to_string()))?;
                (public == certificate.public_key).then_some(Kept { certificate, key })
            }
            _ => None,
        })
    }
}

impl LockedState<'_> {
    /// What a node's dockerd shows, made or renewed as needed.
    pub(super) fn server(
        &self,
        node: &Node,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<TlsIdentity, StateError> {
        let place = self.state.server_place(&node.name);
        self.tls_identity(&place, &server(node), cluster, authorities)
    }

    /// What a client shows, made or renewed as needed.
    ///
    /// # Errors
    /// When it is no name for a client, or as [`Self::identity`].
    pub fn client(
        &self,
        name: &str,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<TlsIdentity, StateError> {
        let leaf = Leaf::client(name)?;
        self.tls_identity(&self.state.client_place(name), &leaf, cluster, authorities)
    }

    /// Forgets a client's key and certificate, so that it gets others. Whether there were any.
    ///
    /// # Errors
    /// When it is no name for a client, or the files cannot be removed.
    pub fn forget_client(&self, name: &str) -> Result<bool, StateError> {
        Leaf::client(name)?;
        forget(&self.state.client_place(name))
    }

    /// Forgets the key and certificate of a node's dockerd, so that it gets others. Whether there were any.
    ///
    /// # Errors
    /// When the files cannot be removed.
    pub fn forget_server(&self, node: &Node) -> Result<bool, StateError> {
        forget(&self.state.server_place(&node.name))
    }

    fn tls_identity(
        &self,
        place: &Place,
        leaf: &Leaf,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<TlsIdentity, StateError> {
        let Kept { certificate, key } = self.leaf(place, leaf, cluster, authorities)?;
        let ca = match self.state.tls_certificate()? {
            Some(ca) => ca.pem().to_owned(),
            None => return Err(corrupt(&self.state.tls_certificate_path(), "it went away")),
        };
        Ok(TlsIdentity { ca, certificate: certificate.pem().to_owned(), key })
    }

    /// A leaf's certificate and key, made or renewed as needed. A renewed certificate is for the key that was there; with
    /// another authority comes another key, for the old one may be why.
    fn leaf(
        &self,
        place: &Place,
        leaf: &Leaf,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<Kept, StateError> {
        private::create_dir(&self.state.tls_dir())?;
        let time = authorities.time;
        let authority = match self.state.tls_certificate()? {
            Some(certificate) => certificate,
            None => authorities.tls(self, &cluster.name)?.certificate().clone(),
        };
        authority.check_time(time)?;
        let key = match self.state.kept(place)? {
            Some(kept) if leaf.is_served_by(&kept.certificate, &authority, time) => return Ok(kept),
            Some(kept) => kept.key,
            None => {
                private::create_dir(&place.parent)?;
                private::create_dir(&place.dir)?;
                write_key(&place.key())?
            }
        };
        let serial = self.serial(leaf, &key, time)?;
        let certificate = authorities.tls(self, &cluster.name)?.issue(leaf, &key, time, serial)?;
        private::write(&place.certificate(), certificate.pem().as_bytes())?;
        Ok(Kept { certificate, key })
    }

    fn serial(&self, leaf: &Leaf, key: &str, time: i64) -> Result<[u8; 16], StateError> {
        let public = HEXLOWER.encode(&Sha256::digest(public_half(key)?));
        Ok(self.state.seed().derive(leaf.name(), &format!("TLS serial {time} {public}")))
    }
}

/// The certificate first: a key without one is not used again.
fn forget(place: &Place) -> Result<bool, StateError> {
    if !private::check_dir(&place.dir)? {
        return Ok(false);
    }
    let had = private::remove(&place.certificate())?;
    Ok(private::remove(&place.key())? || had)
}

fn write_key(path: &Path) -> Result<Zeroizing<String>, StateError> {
    let key = leaf_key()?;
    private::write(path, key.as_bytes())?;
    Ok(key)
}

/// A node's dockerd, under every name and address that a client of the cluster may use.
fn server(node: &Node) -> Leaf {
    let full = node.network.search.iter().map(|domain| format!("{}.{domain}", node.name));
    Leaf::Server {
        node: node.name.clone(),
        names: full.chain(["localhost".to_owned()]).collect(),
        addresses: vec![IpAddr::V4(node.address), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    }
}
