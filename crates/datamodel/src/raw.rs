//! `desi-EXPID.fits.fz`: the raw exposure, a tile-compressed integer image per camera.

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
        let _ = (path, camera);
        todo!()
    }

    /// The cameras that a file holds.
    pub fn cameras_of(path: &Path) -> Result<Vec<Camera>> {
        let _ = path;
        todo!()
    }

    /// Writes all cameras as unsigned 16-bit RICE-compressed images.
    pub fn write(&self, path: &Path) -> Result<()> {
        let _ = path;
        todo!()
    }
}
