//! `/proc/self/mountinfo` and `/proc/swaps`, as bytes.
//!
//! Formats: proc_pid_mountinfo(5), proc_swaps(5). A line that is not understood is an error, never passed
//! over: what is not seen could be what must not be overwritten.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::info::DevNumber;

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The number its files have as `st_dev`; major 0 where no single device stands for it.
    pub(super) number: DevNumber,
    pub(super) at: PathBuf,
    pub(super) fs_type: String,
    pub(super) source: PathBuf,
    /// Whether the filesystem itself is read-only, not just this mount of it.
    pub(super) read_only: bool,
}

/// Reads mountinfo.
pub(super) fn parse_mounts(text: &[u8]) -> io::Result<Vec<Mount>> {
    lines(text)
        .map(|(number, line)| mount(line).ok_or_else(|| malformed("/proc/self/mountinfo", number)))
        .collect()
}

/// Reads the devices and files that are swapped to.
pub(super) fn parse_swaps(text: &[u8]) -> io::Result<Vec<PathBuf>> {
    lines(text)
        .skip(1)
        .map(|(number, line)| {
            let mut fields = line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty());
            match (fields.next().and_then(unescape), fields.next()) {
                (Some(path), Some(b"partition" | b"file")) => Ok(path),
                _ => Err(malformed("/proc/swaps", number)),
            }
        })
        .collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: after the sixth field
/// any number of optional ones, ended by a single hyphen.
fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    Some(Mount {
        number: DevNumber::parse(std::str::from_utf8(fields.get(2)?).ok()?)?,
        at: unescape(fields.get(4)?)?,
        fs_type: String::from_utf8_lossy(fields.get(separator + 1)?).into_owned(),
        source: unescape(fields.get(separator + 2)?)?,
        read_only: fields
            .get(separator + 3)
            .is_some_and(|options| options.split(|byte| *byte == b',').any(|option| option == b"ro")),
    })
}

/// Space, tab, newline and backslash are written as three octal digits after a backslash.
fn unescape(field: &[u8]) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_first_chunk::<3>()?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
        rest = after;
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
}

fn malformed(file: &str, line: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {} of {file} is not understood", line + 1))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{parse_mounts, parse_swaps};
    use crate::device::info::DevNumber;

    #[test]
    fn fields_go_by_position_after_the_separator() {
        let text = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
            36 22 8:17 / /media/my\\040card\\134x rw shared:7 master:1 - vfat /dev/sdb1 rw,a=-\n\
            40 22 0:33 /@home /home rw shared:3 - btrfs /dev/sda3 rw\n\
            41 22 8:18 / /mnt ro - ext4 /dev/sdb2 rw\n42 22 8:19 / /srv rw - ext4 /dev/sdb3 ro,errors=ro\n";
        let mounts = parse_mounts(text).unwrap();
        assert_eq!(
            mounts.iter().map(|mount| mount.read_only).collect::<Vec<_>>(),
            [false, false, false, false, true]
        );
        assert_eq!(mounts[1].number, DevNumber { major: 8, minor: 17 });
        assert_eq!(mounts[1].at, PathBuf::from("/media/my card\\x"));
        assert_eq!(mounts[1].source, PathBuf::from("/dev/sdb1"));
        assert_eq!(mounts[2].fs_type, "btrfs");
    }

    #[test]
    fn an_empty_source_is_a_field_too() {
        let mounts = parse_mounts(b"40 22 0:33 / /x rw -  tmpfs none rw");
        assert_eq!(mounts.unwrap()[0].fs_type, "");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for bad in [
            "nonsense",
            "36 22 8:17 / /mnt rw",
            "36 22 8:17 / /mnt rw -",
            "36 22 8:17 / /mnt rw - vfat",
            "36 22 x:17 / /mnt rw - vfat /dev/sdb1 rw",
            "36 22 8:17 / /mn\\04 rw - vfat /dev/sdb1 rw",
            "36 22 8:17 / /mn\\99x rw - vfat /dev/sdb1 rw",
        ] {
            let good = "22 1 254:0 / / rw - ext4 /dev/root rw\n";
            let error = parse_mounts(format!("{good}{bad}\n").as_bytes()).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{bad}: {error}");
        }
    }

    #[test]
    fn swaps_are_devices_and_files() {
        let text = b"Filename\t\t\tType\t\tSize\tUsed\tPriority\n\
            /dev/zram0                              partition\t100\t0\t100\n\
            /var/swap\\040file                      file\t\t100\t0\t-2\n";
        assert_eq!(
            parse_swaps(text).unwrap(),
            [PathBuf::from("/dev/zram0"), PathBuf::from("/var/swap file")]
        );
        assert_eq!(parse_swaps(b"").unwrap(), Vec::<PathBuf>::new());
        assert!(parse_swaps(b"Filename\n/dev/sda2\n").is_err());
    }
}
