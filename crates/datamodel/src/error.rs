//! Why a file cannot be read or written: always with its path, and where it applies the HDU, the keyword,
//! what was expected and what was found.

use std::path::PathBuf;

/// Result of reading or writing a file.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not exist.
    #[error("{path}: no such file", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused: permission, disk full, I/O error.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted: "open", "write", "rename" ...
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// cfitsio failed: the file is truncated or is no FITS file.
    #[error("{path}{hdu}: cannot {action}: {message} (cfitsio status {status})", path = path.display(), hdu = in_hdu(hdu))]
    Fits {
        /// The file.
        path: PathBuf,
        /// Name of the HDU, empty for the file as a whole.
        hdu: String,
        /// What was attempted.
        action: &'static str,
        /// cfitsio's status.
        status: i32,
        /// cfitsio's message.
        message: String,
    },
    /// An HDU that the product needs is absent.
    #[error("{path}: HDU {hdu} is missing; the file has {found}", path = path.display())]
    MissingHdu {
        /// The file.
        path: PathBuf,
        /// The HDU that was looked for.
        hdu: String,
        /// Names of the HDUs that are there.
        found: String,
    },
    /// The file is of another kind.
    #[error("{path}: this file holds no {expected}; its HDUs are {found}", path = path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What was to be read from it.
        expected: &'static str,
        /// Names of the HDUs that are there.
        found: String,
    },
    /// CHECKSUM or DATASUM do not match the bytes.
    #[error("{path}[{hdu}]: {keyword} does not match the data: the file is damaged, make it again", path = path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The HDU.
        hdu: String,
        /// CHECKSUM or DATASUM.
        keyword: &'static str,
    },
    /// A keyword, column or array is absent or is not what the product needs.
    #[error("{path}[{hdu}]: {item}: expected {expected}, found {found}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The HDU.
        hdu: String,
        /// Keyword, column, "shape", "values" ...
        item: String,
        /// What the product needs.
        expected: String,
        /// What the file has.
        found: String,
    },
}

fn in_hdu(hdu: &str) -> String {
    if hdu.is_empty() { String::new() } else { format!("[{hdu}]") }
}
