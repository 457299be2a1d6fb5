//! Doing what the kernel does when it mounts a filesystem that was not unmounted: replaying the journal and
//! releasing orphans.

use super::super::error::FsError;
use super::editor::Stamp;
use super::features::Purpose;
use super::store::Store;
use crate::disk::block::BlockWrite;

/// What was found undone, and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Transactions of the journal that were whole.
    pub transactions: u32,
    /// Blocks that got their newest copy.
    pub blocks: u64,
    /// Copies that were passed over, because their block was put to another use after them.
    pub revoked: u64,
    /// Files and directories without a name that were still in use: they are gone now.
    pub orphans_removed: u32,
    /// Files that were being cut, and were cut to the end.
    pub orphans_truncated: u32,
}

/// Brings the filesystem that fills `device` to the state in which the kernel's next mount would leave it, so
/// that an [`super::Ext4Editor`] takes it: a card that was pulled while in use, a copy of a mounted or frozen
/// filesystem. Nothing is written when there is nothing to do. The time of `stamp` becomes that of last writing.
///
/// An error that comes after the first write leaves the medium half-made: it should be one that can be thrown
/// away. Whatever is wrong with the journal itself is found before that.
///
/// # Errors
/// `Corrupt` names the block of the journal, or the inode, that cannot be; `Unsupported` a feature that the editor
/// does not take, or a journal on another device or with fast or asynchronous commits; `NotClean` what only e2fsck
/// can put right; or a read or write error.
pub fn recover<D: BlockWrite>(device: D, stamp: &Stamp) -> Result<Recovered, FsError> {
    let mut store = Store::open(device, Purpose::Recover)?;
    let mut recovered = Recovered::default();
    if store.superblock.needs_recovery() {
        store = replay(store, &mut recovered)?;
    } else {
        store.check_journal_is_empty()?;
    }
    if store.superblock.has_orphans() {
        store.release_orphans(stamp.time, &mut recovered)?;
    }
    if store.changed {
        store.recount();
        store.flush(stamp.time)?;
    }
    Ok(recovered)
}

/// Replays the journal and opens what that left.
fn replay<D: BlockWrite>(mut store: Store<D>, recovered: &mut Recovered) -> Result<Store<D>, FsError> {
    let journal = store.journal()?.ok_or_else(|| {
        FsError::corrupt("it says that its journal needs recovery, and it has none; run e2fsck")
    })?;
    journal.check_replayable()?;
    let before = store.superblock.clone();
    if !journal.is_empty() {
        let replay = store.plan_replay(&journal)?;
        store.replay(&journal, &replay)?;
        recovered.transactions = replay.transactions;
        recovered.blocks = replay.copies.len() as u64;
        recovered.revoked = replay.revoked;
        store = Store::open(store.device, Purpose::Recover)?;
        store.superblock.adopt_errors(&before);
    }
    store.superblock.clear_recovery();
    store.changed = true;
    Ok(store)
}
