//! What each file of the survey holds, and how it is read, validated and written.
//!
//! A module per product. Every product has `read(path)`, which checks CHECKSUM/DATASUM, the product, shapes,
//! wavelengths and NaNs, and `write(path)`, which is atomic: a complete file under its final name or the old
//! one. Only [`fits`] touches cfitsio.

mod checks;
pub mod error;
pub mod fiberflat;
pub mod fibermap;
mod fibermap2016;
pub mod fits;
pub mod fluxcalib;
pub mod frame;
pub mod header;
pub mod ids;
pub mod image;
pub mod mask;
mod planes;
pub mod psf;
pub mod psfboot;
pub mod raw;
pub mod sky;
pub mod spectra;
pub mod stdstars;
pub mod table;
pub mod units;
pub mod zbest;

pub use checks::{SAME_WAVELENGTH, check_camera, check_same_wavelengths, describe_wavelengths, same_wavelengths};
pub use error::{Error, Result};
pub use fiberflat::Fiberflat;
pub use fibermap::Fibermap;
pub use fluxcalib::FluxCalib;
pub use frame::Frame;
pub use header::{Header, Value};
pub use ids::{Band, Camera, Expid, FIBERS_PER_SPECTROGRAPH, Night};
pub use image::Image;
pub use psf::GaussHermitePsf;
pub use psfboot::PsfBoot;
pub use raw::RawExposure;
pub use sky::Sky;
pub use spectra::{BandSpectra, Spectra};
pub use stdstars::StdStars;
pub use table::{Column, ColumnData, Table};
pub use zbest::Zbest;
