//! The one place that touches cfitsio: reading with verified checksums, writing atomically.

mod card;
mod checksum;
mod handle;
mod plain;
mod reader;
mod rows;
mod writer;

pub use handle::Pixel;
pub use reader::FitsReader;
pub use writer::FitsWriter;
