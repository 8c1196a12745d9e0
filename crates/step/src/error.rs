//! Why a program failed, and the exit code that says so.

use std::{fmt::Display, path::Path, path::PathBuf};

/// What a program's `run` returns: the files it wrote.
pub type Result = std::result::Result<Vec<PathBuf>, Error>;

/// A failure, classed by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] datamodel::Error),
    /// The data of a file cannot be used; trying again will not help.
    #[error("{path}: {message}", path = path.display())]
    Data {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it and what to do next.
        message: String,
    },
    /// The options do not go together.
    #[error("{message}")]
    Usage {
        /// What is wrong and what is right.
        message: String,
    },
}

impl Error {
    /// The data of `path` cannot be used, for this reason.
    pub fn data(path: &Path, reason: impl Display) -> Self {
        Self::Data { path: path.to_path_buf(), message: reason.to_string() }
    }

    /// The options do not go together.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage { message: message.to_string() }
    }

    /// The same in every program: 1 the data cannot be used; 2 usage; 3 an input is missing; 4 the system
    /// failed (retry may help).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File(datamodel::Error::Missing { .. }) => 3,
            Self::File(datamodel::Error::Io { .. }) => 4,
            Self::File(_) | Self::Data { .. } => 1,
            Self::Usage { .. } => 2,
        }
    }
}
