//! Reading a description's text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No cluster file is longer: a wrong name must not fill the memory.
const TEXT_MAX: u64 = 4 << 20;

/// A file's text; the error is what the system or the bytes say, without the path.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| plain(&error))?;
    let mut bytes = Vec::new();
    file.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err("it is far too long; is it an image?".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is no text file".to_owned())
}

/// An error of the system without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
