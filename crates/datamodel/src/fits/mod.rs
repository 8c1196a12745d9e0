//! The one place that touches cfitsio: reading with verified checksums, writing atomically.
//!
//! (signatures fixed; bodies to come)

mod reader;
mod writer;

pub use reader::FitsReader;
pub use writer::FitsWriter;
