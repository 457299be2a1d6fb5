//! The record of one flash: what was written where, for verifying later and for not writing twice.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::card::{CardReport, Mode, SpanDigest};
use crate::device::info::DeviceInfo;
use crate::disk::range::ByteRange;

/// The version of the format; a reader refuses a higher one.
pub const VERSION: u32 = 1;

/// What is known about a flash beside what the writer reports.
#[derive(Clone, Debug)]
pub struct Provenance<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The node.
    pub node: &'a str,
    /// The plan's digest.
    pub plan: [u8; 32],
    /// The base image's digest.
    pub base: [u8; 32],
    /// When the first byte went out.
    pub started: SystemTime,
    /// When the last one had been read back.
    pub finished: SystemTime,
}

/// A receipt, as it lies in the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this format.
    pub version: u32,
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The device that was written, by the name it had.
    pub device: PathBuf,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its size in bytes.
    pub device_size: u64,
    /// The plan's digest, hexadecimal.
    pub plan: String,
    /// SHA-256 of the base image, hexadecimal.
    pub base: String,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Digests of everything in use.
    pub ranges: Vec<SpanDigest>,
    /// When writing began, as RFC 3339 writes it, in UTC.
    pub started: String,
    /// When it was proved, likewise.
    pub finished: String,
    /// Whether the card was written in full or updated.
    #[serde(default)]
    pub mode: Mode,
    /// Bytes of the image in use, all of them proved to be on the card.
    #[serde(default)]
    pub used: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes read back after writing, and compared.
    #[serde(default)]
    pub read_back: u64,
    /// Bytes that the card held already, and that were compared.
    #[serde(default)]
    pub equal: u64,
    /// What had read back wrong and was written a second time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Rewritten>,
    /// Whether it is a captured card that was made this node's, and no bake: `base` is then the capture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// Whether the card was discarded before it was written.
    #[serde(default)]
    pub discarded: bool,
    /// Seconds spent trying the card.
    #[serde(default)]
    pub prepare_seconds: f64,
    /// Seconds spent writing, and comparing in an update.
    #[serde(default)]
    pub write_seconds: f64,
    /// Seconds spent reading back.
    #[serde(default)]
    pub verify_seconds: f64,
    /// Bytes a second while writing, those compared included.
    pub write_rate: u64,
    /// Bytes a second while reading back.
    pub verify_rate: u64,
    /// Whether everything written was read back and compared. Only such a flash has a receipt.
    pub verified: bool,
}

/// A range that was written a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewritten {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl From<&ByteRange> for Rewritten {
    fn from(range: &ByteRange) -> Self {
        Self { offset: range.start(), len: range.len() }
    }
}

impl Receipt {
    /// The receipt of a card that was written and proved.
    #[must_use]
    pub fn new(from: &Provenance<'_>, device: &DeviceInfo, report: &CardReport) -> Self {
        let hex = |digest: &[u8; 32]| data_encoding::HEXLOWER.encode(digest);
        Self {
            version: VERSION,
            cluster: from.cluster.to_owned(),
            node: from.node.to_owned(),
            device: device.path.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
            device_size: device.size,
            plan: hex(&from.plan),
            base: hex(&from.base),
            image_size: report.image_size(),
            ranges: report.digests().to_vec(),
            started: stamp(from.started),
            finished: stamp(from.finished),
            mode: report.mode(),
            used: report.used(),
            written: report.written(),
            read_back: report.read_back(),
            equal: report.equal(),
            rewritten: report.rewritten().iter().map(Rewritten::from).collect(),
            restored: false,
            discarded: report.discarded(),
            prepare_seconds: seconds(report.preparing()),
            write_seconds: seconds(report.writing()),
            verify_seconds: seconds(report.verifying()),
            write_rate: report.write_rate(),
            verify_rate: report.verify_rate(),
            verified: true,
        }
    }
}

/// A time as RFC 3339 writes it, in whole seconds of UTC; empty for a year that it cannot write.
#[must_use]
pub fn stamp(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// Seconds to the millisecond.
fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::stamp;

    #[test]
    fn times_are_whole_seconds_in_utc() {
        assert_eq!(stamp(SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_900)), "1970-01-02T00:00:00Z");
    }
}
