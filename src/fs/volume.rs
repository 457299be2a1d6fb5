//! The two filesystems of a card, by what they are for.

/// Which filesystem of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Volume {
    /// The FAT partition the firmware boots from.
    Boot,
    /// The ext4 root filesystem.
    Root,
}
