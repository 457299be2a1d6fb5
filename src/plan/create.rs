//! Who may create the swarm (joining.md, "Who creates").

/// Whether a card may create the swarm, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// It may.
    pub allowed: bool,
    /// In a few words, for a person: "the only manager".
    pub why: String,
}

impl Create {
    /// For a node that is no manager, or of no swarm.
    #[must_use]
    pub fn none() -> Self {
        Self { allowed: false, why: String::new() }
    }
}
