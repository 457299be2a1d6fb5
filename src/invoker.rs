//! stand-in
use std::io;
use std::path::{Path, PathBuf};
/// x
#[derive(Debug)]
pub struct Invoker {
    /// x
    pub home: PathBuf,
}
impl Invoker {
    /// x
    /// # Errors
    /// x
    pub fn assume() -> io::Result<Self> {
        Ok(Self { home: PathBuf::from(std::env::var("HOME").unwrap_or_default()) })
    }
    /// x
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.home.join(".cache/pibake")
    }
    /// x
    /// # Errors
    /// x
    pub fn as_root<T>(&self, f: impl FnOnce() -> T) -> io::Result<T> {
        Ok(f())
    }
    /// x
    /// # Errors
    /// x
    pub fn output(&self, words: &[String]) -> io::Result<Vec<u8>> {
        let _ = Path::new("x");
        std::process::Command::new(&words[0]).args(&words[1..]).output().map(|o| o.stdout)
    }
}
