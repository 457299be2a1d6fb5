//! Hashing what is read from a file, as it comes.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// Takes what is written to it into a SHA-256: for [`FsReader::read_to`](super::FsReader::read_to).
#[derive(Debug)]
pub struct HashSink<'a>(pub &'a mut Sha256);

impl Write for HashSink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
