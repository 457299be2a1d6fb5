//! Files that a system swaps to: what is in them is worth nothing once it is off.

use std::collections::BTreeSet;

use crate::fs::FsReader;
use crate::fs::path::FsPath;

/// Where they lie when nothing says otherwise: dphys-swapfile's and rpi-swap's, and what people make.
const USUAL: [&str; 3] = ["/var/swap", "/swapfile", "/swap.img"];
/// A configuration file longer than this is none.
const MAX_TEXT: u64 = 1 << 20;

/// The paths at which a system may have swap files: the usual ones, and those that its fstab and the
/// configurations of dphys-swapfile and rpi-swap name. Whether they are there, and are swap files, is another
/// question; what cannot be read names nothing.
#[must_use]
pub fn swap_files(root: &dyn FsReader) -> Vec<FsPath> {
    let text = |path: &FsPath| {
        root.read(path, MAX_TEXT)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let mut named: BTreeSet<String> = USUAL.map(str::to_owned).into();
    named.extend(in_fstab(&text(&super::at("/etc/fstab"))));
    named.extend(assigned(&text(&super::at("/etc/dphys-swapfile")), "CONF_SWAPFILE"));
    for directory in ["/etc/rpi/swap.conf.d", "/usr/lib/rpi/swap.conf.d"] {
        let directory = super::at(directory);
        for entry in root.read_dir(&directory).unwrap_or_default() {
            let path = std::str::from_utf8(&entry.name).ok().and_then(|name| directory.join(name).ok());
            named.extend(path.map(|path| assigned(&text(&path), "Path")).unwrap_or_default());
        }
    }
    named.extend(assigned(&text(&super::at("/etc/rpi/swap.conf")), "Path"));
    named.iter().filter_map(|path| FsPath::new(path).ok()).filter(|path| !path.is_root()).collect()
}

/// Files of type `swap` (fstab(5)); a blank in a path is written as `\040`. Devices are not files here.
fn in_fstab(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&"swap"))
        .map(|fields| fields[0].replace("\\040", " "))
        .filter(|path| path.starts_with('/') && !path.starts_with("/dev/"))
        .collect()
}

/// What a key is given, in a shell's assignments or in an ini file, quotes taken off.
fn assigned(text: &str, key: &str) -> Vec<String> {
    let values = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::FakeFs;
    use super::swap_files;

    #[test]
    fn all_that_name_one_are_asked() {
        let system = FakeFs::with(&[
            (
                "/etc/fstab",
                "proc /proc proc defaults 0 0\n# /old none swap sw 0 0\n/my\\040swap none swap sw 0 0\n/dev/sda2 none swap sw 0 0\nUUID=1 none swap sw 0 0\n",
            ),
            ("/etc/dphys-swapfile", "CONF_SWAPSIZE=100\n#CONF_SWAPFILE=/no\nCONF_SWAPFILE=\"/home/swap\"\n"),
            ("/etc/rpi/swap.conf", "[Main]\nMechanism=swapfile\n[File]\nPath = /data/swap\n"),
            ("/etc/rpi/swap.conf.d/10-mine.conf", "[File]\nPath=/srv/swap\n"),
            ("/etc/rpi/swap.conf.d/20-odd.conf", "[File]\nPath=../relative\nPath=/\n"),
        ]);
        let found: Vec<String> = swap_files(&system).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["/data/swap", "/home/swap", "/my swap", "/srv/swap", "/swap.img", "/swapfile", "/var/swap"]
        );
        assert_eq!(swap_files(&FakeFs::default()).len(), 3);
    }
}
