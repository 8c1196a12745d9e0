//! `desi-EXPID.fits.fz`: the raw exposure, a tile-compressed integer image per camera.

use crate::checks::{check_camera, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::{Camera, Header, Result};
use ndarray::Array2;
use std::{collections::BTreeMap, path::Path};

/// One camera of a raw exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct RawImage {
    /// Camera keywords, completed with the exposure's (INHERIT, HDU SPEC).
    pub header: Header,
    /// ADU, `[y, x]` with prescans and overscans.
    pub adu: Array2<i32>,
}

/// A raw exposure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawExposure {
    /// Exposure keywords, HDU SPEC (or the primary's).
    pub header: Header,
    /// The cameras, HDUs B0 ... Z9.
    pub cameras: BTreeMap<Camera, RawImage>,
}

impl RawExposure {
    /// Reads one camera; an absent one is an error that names it and those that are there.
    pub fn read_camera(path: &Path, camera: Camera) -> Result<RawImage> {
        let mut fits = FitsReader::open(path)?;
        let name = hdu_of(camera);
        let mut header = fits.header(&name)?;
        if header.get("CAMERA").is_some() {
            check_camera(&header, path, &name, camera)?;
        }
        for exposure in ["SPEC", "0"] {
            if fits.has(exposure) {
                header.extend_missing(&fits.header(exposure)?);
            }
        }
        header.set("CAMERA", camera.to_string(), "spectrograph camera");
        Ok(RawImage { header, adu: fits.counts(&name)? })
    }

    /// The cameras that a file holds.
    pub fn cameras_of(path: &Path) -> Result<Vec<Camera>> {
        let fits = FitsReader::open(path)?;
        let mut cameras: Vec<Camera> = fits.names().iter().filter_map(|n| n.parse().ok()).collect();
        cameras.sort();
        Ok(cameras)
    }

    /// Writes all cameras as unsigned 16-bit RICE-compressed images.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if a pixel is no unsigned 16-bit number.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut fits = FitsWriter::create(path)?;
        fits.empty_primary(&Header::new())?;
        // The exposure's keywords hang on an image without meaning.
        fits.compressed("SPEC", Array2::<u16>::zeros((10, 10)).view(), &self.header)?;
        for (&camera, image) in &self.cameras {
            let name = hdu_of(camera);
            if let Some(adu) = image.adu.iter().find(|adu| u16::try_from(**adu).is_err()) {
                return Err(invalid(path, &name, "values", "0 to 65535 ADU", adu));
            }
            let mut header = image.header.clone();
            header.set("CAMERA", camera.to_string(), "spectrograph camera");
            fits.compressed(&name, image.adu.mapv(|adu| adu as u16).view(), &header)?;
        }
        fits.finish()
    }
}

/// Cameras are in upper case in raw files.
fn hdu_of(camera: Camera) -> String {
    camera.to_string().to_uppercase()
}
