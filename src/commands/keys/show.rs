//! `pibake keys show`: what there is, whose it is, and when it ends.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cli::print;
use crate::cli::table::{Table, printable};
use crate::keys::certificate::Certificate;
use crate::keys::join::fingerprint;

use super::Desk;

/// One key: what it is for, whose it is, and how it is recognised.
struct Row {
    kind: &'static str,
    name: String,
    subject: Option<String>,
    fingerprint: String,
    names: Vec<String>,
    ends: Option<i64>,
    note: &'static str,
}

pub(super) fn run(desk: &Desk<'_>) -> anyhow::Result<()> {
    let mut rows = tls(desk)?;
    rows.extend(ssh(desk)?);
    let protection = desk.state.protection()?;
    if desk.context.common.json {
        let keys: Vec<Value> = rows.iter().map(Row::json).collect();
        let document =
            json!({ "cluster": desk.cluster.name, "passphrase": protection.protected, "keys": keys });
        return print(format_args!("{document:#}\n"));
    }
    let mut table = Table::new(["KEY", "SUBJECT", "ENDS", "FINGERPRINT (SHA-256)", ""]);
    for row in &rows {
        let ends = row.ends.map_or_else(String::new, day);
        let (subject, fingerprint) = (row.subject.as_ref().unwrap_or(&row.name), row.fingerprint.clone());
        table.row([row.kind.to_owned(), printable(subject), ends, fingerprint, row.note.to_owned()]);
    }
    print(table)?;
    let kept = match (protection.protected, protection.open) {
        (true, true) => "under a passphrase in part; `pibake keys protect` finishes it",
        (true, false) => "under a passphrase",
        (false, _) => "kept in clear text; `pibake keys protect` puts them under a passphrase",
    };
    print(format_args!("the CAs' private keys are {kept}\n"))
}

fn tls(desk: &Desk<'_>) -> anyhow::Result<Vec<Row>> {
    let Some(authority) = desk.state.tls_certificate()? else { return Ok(Vec::new()) };
    let mut rows = vec![Row::tls("TLS CA", desk.cluster.name.clone(), &authority, &authority)];
    for (name, certificate) in desk.state.server_certificates()? {
        rows.push(Row::tls("TLS server", name, &certificate, &authority));
    }
    for (name, certificate) in desk.state.client_certificates()? {
        rows.push(Row::tls("TLS client", name, &certificate, &authority));
    }
    Ok(rows)
}

fn ssh(desk: &Desk<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if let Some(public) = desk.state.join_public()? {
        rows.push(Row::ssh("join CA", desk.cluster.name.clone(), &public, ""));
    }
    for (name, public, revoked) in desk.state.join_keys()? {
        let note = if revoked { "revoked; the next card gets another" } else { "" };
        rows.push(Row::ssh("join key", name, &public, note));
    }
    for node in &desk.cluster.nodes {
        for key in desk.state.existing_host_keys(&node.name)?.into_iter().flatten() {
            rows.push(Row::ssh("SSH host", node.name.clone(), &key.public, key.name));
        }
    }
    Ok(rows)
}

impl Row {
    fn tls(kind: &'static str, name: String, certificate: &Certificate, authority: &Certificate) -> Self {
        let current = certificate.is_signed_by(authority) || certificate == authority;
        Self {
            kind,
            name,
            subject: Some(certificate.subject.clone()),
            fingerprint: certificate.fingerprint(),
            names: certificate.names.iter().cloned().collect(),
            ends: Some(certificate.not_after),
            note: if current { "" } else { "of an earlier CA; the next card gets another" },
        }
    }

    fn ssh(kind: &'static str, name: String, public: &str, note: &'static str) -> Self {
        let fingerprint = fingerprint(public).unwrap_or_else(|| "?".to_owned());
        Self { kind, name, subject: None, fingerprint, names: Vec::new(), ends: None, note }
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "name": self.name,
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "names": self.names,
            "ends": self.ends,
            "note": self.note,
        })
    }
}

/// `2031-11-19`.
fn day(time: i64) -> String {
    OffsetDateTime::from_unix_timestamp(time)
        .map_or_else(|_| time.to_string(), |time| time.date().to_string())
}
