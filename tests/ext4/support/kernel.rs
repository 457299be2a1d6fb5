//! The kernel's view of an image: mounted, listed, written to.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::content;
use super::tools::{raw, run};
use super::tree::{Kind, Node, Tree};

/// A mounted image; unmounted when dropped.
pub(crate) struct Mount {
    folder: Option<tempfile::TempDir>,
}

impl Mount {
    /// Mounts an image. `noinit_itable` keeps the kernel from tidying inode tables behind the test's back.
    #[track_caller]
    pub(crate) fn new(image: &Path) -> Self {
        Self::with(image, "")
    }

    /// Mounts an image with further options.
    #[track_caller]
    pub(crate) fn with(image: &Path, options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pibake-mnt-").tempdir().expect("making a mount point");
        let options = format!("loop,noinit_itable,user_xattr,{options}");
        // Two mounts at once may take the same free loop device; the slower one is told so.
        patiently("loop device", || raw("mount", &[&"-t", &"ext4", &"-o", &options, &image, &folder.path()]));
        Self { folder: Some(folder) }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().expect("mounted until closed").path()
    }

    /// Unmounts, which must work.
    #[track_caller]
    pub(crate) fn close(mut self) {
        let folder = self.folder.take().expect("mounted until closed");
        // A program that another test is just starting holds copies of this one's files for a moment.
        patiently("busy", || raw("umount", &[&folder.path()]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            raw("umount", &[&"-l", &folder.path()]);
        }
    }
}

/// Runs a program again while it complains of what will pass.
#[track_caller]
fn patiently(passing: &str, command: impl Fn() -> Output) {
    for attempt in 1.. {
        let output = command();
        if output.status.success() {
            return;
        }
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(passing) && attempt < 30, "mounting or unmounting: {message}");
        std::thread::sleep(Duration::from_millis(20 * attempt));
    }
}

/// The whole tree of a mounted image, attributes included.
pub(crate) fn snapshot(mount: &Path) -> Tree {
    let mut tree = Tree::default();
    let mut seen = HashMap::new();
    walk(mount, "/", &mut seen, &mut tree);
    read_xattrs(mount, &mut tree);
    read_flags(mount, &mut tree);
    tree
}

fn walk(mount: &Path, path: &str, seen: &mut HashMap<u64, usize>, tree: &mut Tree) {
    let host = on_host(mount, path);
    let meta = fs::symlink_metadata(&host).unwrap_or_else(|error| panic!("{path}: {error}"));
    if let Some(id) = seen.get(&meta.ino()) {
        tree.link(path, *id);
        return;
    }
    let kind = if meta.is_dir() {
        Kind::Directory
    } else if meta.is_file() {
        Kind::File(fs::read(&host).unwrap_or_else(|error| panic!("reading {path}: {error}")).into())
    } else if meta.is_symlink() {
        Kind::Symlink(fs::read_link(&host).expect("reading a link").as_os_str().as_bytes().to_vec())
    } else {
        Kind::Special
    };
    let node = Node {
        kind,
        mode: (meta.mode() & 0o7777) as u16,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: Some(meta.mtime()),
        immutable: false,
        xattrs: BTreeMap::new(),
    };
    let id = tree.insert(path, node);
    seen.insert(meta.ino(), id);
    if meta.is_dir() {
        for entry in fs::read_dir(&host).expect("listing a directory") {
            let name = entry.expect("listing a directory").file_name();
            let name = name.to_str().expect("the tests use UTF-8 names");
            walk(mount, &join(path, name), seen, tree);
        }
    }
}

fn read_xattrs(mount: &Path, tree: &mut Tree) {
    let text = run(
        "getfattr",
        &[&"-R", &"-P", &"-h", &"-d", &"-m", &"-", &"-e", &"hex", &"--absolute-names", &mount],
    );
    let mut path = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# file: ") {
            path = in_image(mount, &unescape(name));
        } else if let Some((name, value)) = line.split_once("=0x") {
            let value =
                data_encoding::HEXLOWER.decode(value.as_bytes()).expect("getfattr writes hexadecimal");
            let node = tree.node_mut(&path).unwrap_or_else(|| panic!("getfattr lists {path}"));
            node.xattrs.insert(name.to_owned(), value);
        } else if let Some((name, "")) = line.split_once('=') {
            let node = tree.node_mut(&path).unwrap_or_else(|| panic!("getfattr lists {path}"));
            node.xattrs.insert(name.to_owned(), Vec::new());
        } else if !line.is_empty() {
            let node = tree.node_mut(&path).unwrap_or_else(|| panic!("getfattr lists {path}"));
            node.xattrs.insert(line.to_owned(), Vec::new());
        }
    }
}

/// lsattr cannot ask links and devices, and says so with its exit status: only its lines count.
fn read_flags(mount: &Path, tree: &mut Tree) {
    let output = raw("lsattr", &[&"-R", &"-a", &mount]);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((flags, path)) = line.split_once(' ') else { continue };
        if flags.contains('i') && !path.ends_with("/.") && !path.ends_with("/..") {
            let path = in_image(mount, path);
            tree.node_mut(&path).unwrap_or_else(|| panic!("lsattr lists {path}")).immutable = true;
        }
    }
}

/// Writes into an image as a running system would: new names, appended and cut files, attributes,
/// directories and renames, in `folders`, and then takes some of it away again.
pub(crate) fn churn(mount: &Path, folders: &[String], rng: &mut fastrand::Rng) {
    for folder in folders {
        let folder = on_host(mount, folder);
        for index in 0..12 {
            let data = content::bytes(rng.u64(..), rng.usize(..9000));
            fs::write(folder.join(format!("kernel-{index}")), data).expect("the kernel writes a file");
        }
        fs::create_dir(folder.join("kernel-dir")).expect("the kernel makes a directory");
        fs::rename(folder.join("kernel-1"), folder.join("kernel-dir/moved")).expect("the kernel renames");
        std::os::unix::fs::symlink(content::target(rng.usize(1..200)), folder.join("kernel-link"))
            .expect("the kernel makes a link");
        for index in [0, 4, 7] {
            fs::remove_file(folder.join(format!("kernel-{index}"))).expect("the kernel removes a file");
        }
        disturb_files(&folder, rng);
    }
}

/// Appends to, cuts, tags or removes some of the files that were there.
fn disturb_files(folder: &Path, rng: &mut fastrand::Rng) {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("listing a directory")
        .map(|entry| entry.expect("listing a directory").path())
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()))
        .collect();
    files.sort();
    for path in files.iter().filter(|_| rng.u8(..4) == 0).take(8).cloned().collect::<Vec<_>>() {
        // Immutable files answer EPERM, which is as it should be.
        let Ok(file) = fs::OpenOptions::new().append(true).open(&path) else { continue };
        match rng.u8(..4) {
            0 => std::io::Write::write_all(&mut (&file), &content::bytes(1, rng.usize(1..20_000)))
                .expect("the kernel appends"),
            1 => file.set_len(file.metadata().expect("a length").len() / 2).expect("the kernel cuts"),
            2 => {
                // Where attributes fill their block already the answer is ENOSPC.
                drop(raw("setfattr", &[&"-n", &"user.kernel", &"-v", &"v".repeat(rng.usize(1..300)), &path]))
            }
            _ => fs::remove_file(&path).expect("the kernel removes"),
        }
    }
}

/// A path of the image as a path of this machine.
pub(crate) fn on_host(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

fn in_image(mount: &Path, path: &str) -> String {
    let rest = path.strip_prefix(mount.to_str().expect("UTF-8")).expect("below the mount point");
    if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }
}

fn join(folder: &str, name: &str) -> String {
    if folder == "/" { format!("/{name}") } else { format!("{folder}/{name}") }
}

/// Undoes getfattr's `\ooo`.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let digits = [bytes.next(), bytes.next(), bytes.next()];
            out.push(
                digits
                    .iter()
                    .flatten()
                    .fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
            );
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).expect("the tests use UTF-8 names")
}
