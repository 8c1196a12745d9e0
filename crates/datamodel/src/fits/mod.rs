//! The one place that touches FITS files: reading with verified checksums, writing atomically.

mod card;
mod checksum;
mod handle;
mod layout;
mod pixel;
mod plain;
mod publish;
mod reader;
mod rows;
mod writer;

pub use pixel::Pixel;
pub use reader::FitsReader;
pub use writer::FitsWriter;
