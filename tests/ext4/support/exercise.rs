//! Every operation there is, on a filesystem of which nothing is known: for damage, and for the fuzz targets,
//! which include this file.

use std::io::{self, Write};

use pibake::disk::block::{BlockRead, BlockWrite};
use pibake::fs::FsReader;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Keep, Stamp, recover};
use pibake::fs::metadata::{FileType, Meta};
use pibake::fs::path::FsPath;

/// Bytes of one file that are read before the reader is let off.
const ENOUGH: usize = 8 << 20;
/// Names that are looked at before the walk is let off.
const MANY: usize = 3000;

/// Everything there is to do with a filesystem; errors are welcome. Both media hold the same, the second may
/// be longer.
pub(crate) fn exercise(to_read: impl BlockRead + 'static, mut to_edit: impl BlockWrite) {
    if let Ok(reader) = Ext4Reader::open(to_read) {
        walk(&reader);
    }
    let size = to_edit.size();
    let stamp = Stamp { time: 1_800_000_000, generation_seed: [0; 32] };
    let _ = recover(&mut to_edit, &stamp);
    let Ok(mut editor) = Ext4Editor::open(to_edit, stamp) else { return };
    walk(&editor);
    let _ = editor.used_ranges();
    let _ = editor.newest_mtime();
    let paths = ["/etc", "/etc/size-70000", "/etc/size-1", "/var/many", "/etc/sparse"].map(at);
    for path in &paths {
        let _ = editor.xattrs(path);
        let _ = editor.flags(path);
    }
    let meta = Meta::root(0o644);
    let content = [7; 30_000];
    let _ = editor.create(&at("/var/many/new"), meta, &mut &content[..], 30_000);
    let _ = editor.replace(&at("/etc/size-70000"), meta, &mut &content[..], 30_000, Keep::Xattrs);
    let _ = editor.replace(&at("/etc/sparse"), meta, &mut io::empty(), 0, Keep::Nothing);
    let _ = editor.make_dir(&at("/etc/new"), meta);
    let _ = editor.symlink(&"t/".repeat(300), &at("/etc/new/link"), 0, 0);
    let _ = editor.set_xattr(&at("/etc/size-4095"), "user.new", &[1; 300]);
    let _ = editor.set_xattr(&at("/etc/size-1"), "user.new", b"value");
    let _ = editor.remove_xattr(&at("/etc/size-4095"), "user.large");
    let _ = editor.remove_file(&at("/etc/size-4097"));
    let _ = editor.remove_file(&at("/var/many/entry-100-in-a-directory-with-an-index"));
    let _ = editor.remove_dir(&at("/empty"));
    let _ = editor.rename(&at("/etc/size-59"), "renamed");
    let _ = editor.set_immutable(&at("/etc/size-60"), true);
    let _ = editor.grow(size);
    let _ = editor.finish();
}

/// Reads whatever can be reached, up to a measure.
pub(crate) fn walk(reader: &dyn FsReader) {
    let mut todo = vec![FsPath::root()];
    let mut seen = 0;
    while let Some(folder) = todo.pop() {
        for entry in reader.read_dir(&folder).unwrap_or_default() {
            seen += 1;
            let path = String::from_utf8(entry.name).ok().and_then(|name| folder.join(&name).ok());
            let Some(path) = path.filter(|_| seen < MANY) else { continue };
            let _ = reader.stat(&path);
            match entry.kind {
                // Directories that contain each other would go on for ever.
                FileType::Directory if path.components().count() < 12 => todo.push(path),
                FileType::File => {
                    let _ = reader.read(&path, ENOUGH as u64);
                    let _ = reader.read_to(&path, &mut Enough(0));
                }
                FileType::Symlink => drop(reader.read_link(&path)),
                FileType::Directory | FileType::Special => {}
            }
        }
    }
}

/// A path that is one.
fn at(path: &str) -> FsPath {
    FsPath::new(path).expect("a path")
}

/// Takes so much and then no more.
struct Enough(usize);

impl Write for Enough {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += buf.len();
        if self.0 > ENOUGH { Err(io::ErrorKind::StorageFull.into()) } else { Ok(buf.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
