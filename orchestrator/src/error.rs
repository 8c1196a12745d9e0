//! Why the orchestrator cannot go on, and the exit code that says so.

use std::path::{Path, PathBuf};

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the orchestrator itself; a failed task is a state, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the environment asks for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// The pipeline's table contradicts itself.
    #[error("pipeline table: {0}")]
    Table(String),
    /// A file that the orchestrator reads has the wrong content.
    #[error("{path}: {message}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// A file or folder that must exist does not.
    #[error("{path}: {message}", path = path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What it is and what to do next.
        message: String,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The content of `path` is wrong.
    pub fn content(path: &Path, message: impl ToString) -> Self {
        Self::Content { path: path.to_path_buf(), message: message.to_string() }
    }

    /// The system refused an action on `path`; for use in `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// As everywhere: 1 data unusable, 2 usage, 3 input missing, 4 system failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Content { .. } => 1,
            Self::Usage(_) | Self::Table(_) => 2,
            Self::Missing { .. } => 3,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => 3,
            Self::Io { .. } => 4,
        }
    }
}
