//! The record of one flash: what was written where, for verifying later and for not writing twice.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::card::{CardReport, SpanDigest};
use crate::device::info::DeviceInfo;

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
    /// Digests of what was written.
    pub ranges: Vec<SpanDigest>,
    /// When writing began, as RFC 3339 writes it, in UTC.
    pub started: String,
    /// When it was proved, likewise.
    pub finished: String,
    /// Bytes written and read back.
    pub written: u64,
    /// Bytes a second while writing.
    pub write_rate: u64,
    /// Bytes a second while reading back.
    pub verify_rate: u64,
    /// Whether everything written was read back and compared. Only such a flash has a receipt.
    pub verified: bool,
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
            written: report.written(),
            write_rate: rate(report.written(), report.writing()),
            verify_rate: rate(report.written(), report.verifying()),
            verified: true,
        }
    }
}

/// Whole seconds; empty for a year that RFC 3339 cannot write.
fn stamp(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// Bytes a second; 0 when it took no time that could be measured.
fn rate(bytes: u64, took: Duration) -> u64 {
    let nanoseconds = took.as_nanos();
    let per_second = u128::from(bytes) * 1_000_000_000;
    per_second.checked_div(nanoseconds).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{rate, stamp};

    #[test]
    fn times_are_whole_seconds_in_utc() {
        assert_eq!(stamp(SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_900)), "1970-01-02T00:00:00Z");
    }

    #[test]
    fn rates_are_bytes_a_second() {
        assert_eq!(rate(40_000_000, Duration::from_secs(2)), 20_000_000);
        assert_eq!(rate(5, Duration::ZERO), 0);
        assert_eq!(rate(u64::MAX, Duration::from_nanos(1)), 0);
    }
}
