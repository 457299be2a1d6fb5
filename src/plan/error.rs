//! Why a plan cannot be made.

use std::fmt;

/// One thing that stands in the way. Each of them is the cluster file's or an overlay's to mend, or says
/// that the image is not one for it: exit status 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Something the cluster file may say, but this version does not bake.
    #[error("{what} is not baked by this version yet; {instead}")]
    NotYet {
        /// The key.
        what: String,
        /// What to do meanwhile.
        instead: String,
    },
    /// A value of the cluster file that does not fit this image.
    #[error("{key}: {message}")]
    Setting {
        /// The key.
        key: String,
        /// What does not fit.
        message: String,
    },
    /// Something that has to be in the image is not.
    #[error("the image lacks {what}")]
    ImageLacks {
        /// What is missing.
        what: String,
    },
    /// A text of the image that cannot be edited as it is.
    #[error("{path} of the image cannot be edited: {why}")]
    ImageText {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A path that two sides want differently.
    #[error("{path}: {first} and {second} want different things there")]
    Conflict {
        /// The path.
        path: String,
        /// Who came first.
        first: String,
        /// Who came second.
        second: String,
    },
    /// An overlay that is selected but was not loaded.
    #[error("there is no overlay {name:?}")]
    NoOverlay {
        /// Its name.
        name: String,
    },
    /// An overlay's parameters, owners, units or packages.
    #[error("{overlay}: {message}")]
    Overlay {
        /// Which, and where it came from.
        overlay: String,
        /// What is wrong.
        message: String,
    },
    /// A template that cannot be rendered.
    #[error("{overlay}: {file}{}: {message}", line_suffix(.line))]
    Template {
        /// Which overlay, and where it came from.
        overlay: String,
        /// The template.
        file: String,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// A secret that a render would put where others can read it.
    #[error(
        "{overlay}: {file} holds a secret parameter, and its mode is {mode:04o}: 0600 or narrower is needed"
    )]
    SecretExposed {
        /// Which overlay, and where it came from.
        overlay: String,
        /// The template.
        file: String,
        /// The mode it would have; 0755 on FAT, which keeps none.
        mode: u16,
    },
    /// A secret the cluster file names was not given.
    #[error("no value was given for {what}")]
    NoSecret {
        /// What it is for.
        what: String,
    },
    /// The card's clock would start before the image was made.
    #[error(
        "the bake time {bake} is before the image's newest file, {newest}; the card's clock starts from it"
    )]
    BakeTime {
        /// The bake time.
        bake: String,
        /// The time of the newest file.
        newest: String,
    },
    /// The packages to be installed at first boot do not go together, or not with the image or the board.
    #[error("packages: {0}")]
    Packages(String),
    /// What is to be written does not fit.
    #[error("{0}")]
    NoRoom(String),
}

fn line_suffix(line: &Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

/// Everything that stands in the way, found in one go; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanErrors {
    /// The node that was planned for.
    pub node: String,
    /// What was found.
    pub errors: Vec<PlanError>,
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "node {}: {error}", self.node)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}
