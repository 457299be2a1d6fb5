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
        authorities: &mut Authorities<'_>,
    ) -> Result<TlsIdentity, StateError> {
        let place = self.state.server_place(&node.name);
        let Kept { certificate, key } = self.leaf(&place, &server(node), cluster, authorities)?;
        let ca = match self.state.tls_certificate()? {
            Some(ca) => ca.pem().to_owned(),
            None => return Err(corrupt(&self.state.tls_certificate_path(), "it went away")),
        };
        Ok(TlsIdentity { ca, certificate: certificate.pem().to_owned(), key })
    }

    /// A leaf's certificate and key, made or renewed as needed. A renewed certificate is for the key that was there; with
    /// another authority comes another key, for the old one may be why.
    pub(super) fn leaf(
        &self,
        place: &Place,
        leaf: &Leaf,
        cluster: &Cluster,
        authorities: &mut Authorities<'_>,
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
