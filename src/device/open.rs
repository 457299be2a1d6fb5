//! Opening a confirmed target, and making sure it is still that one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::authority::Authority;
use super::identity::Identity;
use super::info::{DeviceInfo, Kind};
use super::platform;
use super::policy::ConfirmedTarget;
use super::refusal::{LookError, Refusal, Refused, Rule};

/// A target that is open for writing, for this process alone.
#[derive(Debug)]
pub struct OpenTarget {
    file: File,
    info: DeviceInfo,
    direct: AtomicBool,
}

impl OpenTarget {
    /// The descriptor.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The disk as it is now.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Whether reads and writes pass the page cache by.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    /// Gives up passing the page cache by, where the device turned out not to allow it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear_direct(&self) -> io::Result<()> {
        platform::clear_direct(&self.file)?;
        self.direct.store(false, Ordering::Release);
        Ok(())
    }

    fn identity(&self, edges: bool) -> io::Result<Identity> {
        if !edges {
            return Ok(Identity::described(&self.info));
        }
        match Identity::of_open(&self.info, &self.file) {
            Err(error) if self.is_direct() && error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                self.clear_direct()?;
                Identity::of_open(&self.info, &self.file)
            }
            other => other,
        }
    }
}

impl ConfirmedTarget {
    /// Unmounts what the user wants unmounted, opens the target exclusively, and checks on the open
    /// descriptor that it is the disk that was confirmed, unchanged, and that every rule still holds.
    ///
    /// # Errors
    /// A refusal when it is another disk, changed, in use or gone; or what the system answers. Nothing has
    /// been written then.
    pub fn open(
        &self,
        system: &platform::System,
        authority: &dyn Authority,
    ) -> Result<OpenTarget, LookError> {
        let path = &self.info().path;
        let unmounted = self.unmount(system, authority)?;
        let (file, direct) = open_exclusively(path, self.info().kind != Kind::RegularFile, authority)?;
        self.check_same(&file)?;
        let failed = |source| LookError::Io { path: path.clone(), source };
        let info = system.describe(path)?;
        let size = (&file).seek(SeekFrom::End(0)).map_err(failed)?;
        let diskseq = platform::disk_sequence(&file).or(info.diskseq);
        let direct = AtomicBool::new(direct);
        let target = OpenTarget { file, info: DeviceInfo { size, diskseq, ..info }, direct };
        // Unmounting writes, perhaps into the ends: they tell nothing then.
        let edges = self.identity().has_edges() && !unmounted;
        self.check_unchanged(&target.identity(edges).map_err(failed)?)?;
        match self.reassess(&target.info) {
            refusals if refusals.is_empty() => Ok(target),
            refusals => Err(Refused(refusals).into()),
        }
    }

    /// Unmounts what the user wants unmounted, of this disk and no other that took its name since. Whether
    /// there was anything.
    fn unmount(&self, system: &platform::System, authority: &dyn Authority) -> Result<bool, LookError> {
        let mounts = self.to_unmount();
        if !mounts.is_empty() {
            let now = system.describe(&self.info().path)?;
            self.check_unchanged(&Identity::described(&now))?;
        }
        for at in &mounts {
            authority.unmount(at).map_err(|source| LookError::Unmount { at: at.to_path_buf(), source })?;
        }
        Ok(!mounts.is_empty())
    }

    fn check_unchanged(&self, now: &Identity) -> Result<(), LookError> {
        match self.identity().difference(now) {
            Some(what) => Err(Refusal::changed(&self.info().path, what).into()),
            None => Ok(()),
        }
    }

    /// The path may name something else than it did when it was confirmed.
    fn check_same(&self, file: &File) -> Result<(), LookError> {
        let path = &self.info().path;
        let meta = file.metadata().map_err(|source| LookError::Io { path: path.clone(), source })?;
        let number = |dev| platform::System::number_of(dev);
        let same = match self.info().inode {
            Some(inode) => meta.is_file() && meta.ino() == inode && number(meta.dev()) == self.info().number,
            None => meta.file_type().is_block_device() && number(meta.rdev()) == self.info().number,
        };
        if same { Ok(()) } else { Err(Refusal::changed(path, "device").into()) }
    }
}

/// Opens past the page cache where that is possible. A regular file is held by a lock instead, which keeps
/// other runs of this program off it.
fn open_exclusively(
    path: &Path,
    is_device: bool,
    authority: &dyn Authority,
) -> Result<(File, bool), LookError> {
    let opened = match authority.open(path, &platform::open_options(is_device, true)) {
        Err(error) if is_device && error.raw_os_error() == Some(Errno::EINVAL as i32) => {
            authority.open(path, &platform::open_options(true, false)).map(|file| (file, false))
        }
        other => other.map(|file| (file, is_device)),
    };
    let (file, direct) = opened.map_err(|source| explain(path, source))?;
    if !is_device {
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => busy(path).into(),
            std::fs::TryLockError::Error(source) => LookError::Io { path: path.to_owned(), source },
        })?;
    }
    Ok((file, direct))
}

/// What a failed open means.
fn explain(path: &Path, source: io::Error) -> LookError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) => busy(path).into(),
        Some(Errno::EACCES | Errno::EPERM) => LookError::Denied { path: path.to_owned(), source },
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV | Errno::ENOMEDIUM) => {
            Refusal::new(Rule::Changed, format!("{} is gone", path.display()), "put the card in again").into()
        }
        Some(Errno::EROFS) => Refusal::new(
            Rule::ReadOnly,
            format!("{} is read-only", path.display()),
            "move the lock switch of the card or its adapter",
        )
        .into(),
        _ => LookError::Io { path: path.to_owned(), source },
    }
}

fn busy(path: &Path) -> Refusal {
    Refusal::new(
        Rule::Busy,
        format!("{} is in use: mounted, held, or opened exclusively by another program", path.display()),
        format!("close what uses it (see `fuser -v {0}`, `lsblk {0}`) and try again", path.display()),
    )
}
