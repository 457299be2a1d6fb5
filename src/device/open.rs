//! Opening a confirmed target, and making sure it is still that one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;

use super::authority::Authority;
use super::identity::Identity;
use super::info::{DeviceInfo, Kind};
use super::platform;
use super::policy::ConfirmedTarget;
use super::refusal::{LookError, Refusal, Rule};

/// A target that is open for writing, for this process alone.
#[derive(Debug)]
pub struct OpenTarget {
    file: File,
    info: DeviceInfo,
    direct: bool,
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
        self.direct
    }

    /// Gives up passing the page cache by, where the device turned out not to allow it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear_direct(&mut self) -> io::Result<()> {
        platform::clear_direct(&self.file)?;
        self.direct = false;
        Ok(())
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
        for at in self.to_unmount() {
            authority.unmount(at).map_err(|source| LookError::Unmount { at: at.to_owned(), source })?;
        }
        let path = &self.info().path;
        let is_device = self.info().kind != Kind::RegularFile;
        let (file, direct) = open_exclusively(path, is_device, authority)?;
        self.check_same(&file)?;
        let failed = |source| LookError::Io { path: path.clone(), source };
        let now = system.describe(path)?;
        let end = (&file).seek(SeekFrom::End(0)).map_err(failed)?;
        let now = DeviceInfo { size: end, diskseq: platform::disk_sequence(&file).or(now.diskseq), ..now };
        let mut target = OpenTarget { file, info: now, direct };
        let identity = match self.identity_now(&target) {
            Err(error) if target.direct && error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                target.clear_direct().map_err(failed)?;
                self.identity_now(&target).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        if let Some(what) = self.identity().difference(&identity) {
            return Err(changed(path, what).into());
        }
        match self.reassess(&target.info) {
            refusals if refusals.is_empty() => Ok(target),
            refusals => Err(super::refusal::Refused(refusals).into()),
        }
    }

    fn identity_now(&self, target: &OpenTarget) -> io::Result<Identity> {
        Identity::of_open(&target.info, &target.file, self.identity().has_edges())
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
        if same { Ok(()) } else { Err(changed(path, "device").into()) }
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

fn changed(path: &Path, what: &str) -> Refusal {
    Refusal::new(
        Rule::Changed,
        format!("{} is not what was confirmed: another {what}", path.display()),
        "look at it again with `pibake devices` and start over",
    )
}
