//! `psfboot-CAMERA.fits`: first traces and wavelengths of the night (also the XTRACE/YTRACE trace files that
//! today's specex starts from).

use crate::checks::{check_finite, check_rows, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::psf::{self, LegendreRows};
use crate::{Header, Result};
use ndarray::ArrayView1;
use std::path::Path;

/// Traces, wavelengths and widths of every fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct PsfBoot {
    /// PSFTYPE, CAMERA, NPIX_X, NPIX_Y, ARCNIGHT, ARCEXPID, FLANIGHT, FLAEXPID of HDU XCOEFF.
    pub header: Header,
    /// Pixel x of the trace, HDU XCOEFF (or XTRACE).
    pub x: LegendreRows,
    /// Pixel y of the trace, HDU YCOEFF (or YTRACE).
    pub y: LegendreRows,
    /// Gaussian sigma across the dispersion in pixels, one a fibre, HDU XSIGMA.
    pub xsigma: Vec<f64>,
}

impl PsfBoot {
    /// Reads and validates a file.
    ///
    /// Also reads the traces of a complete PSF file, its XSIGMA being the mean GHSIGX of each fibre, and trace
    /// files with a Legendre series of the width, HDU XSIG.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let x_hdu = psf::first_of(&fits, &["XCOEFF", "XTRACE", "XCOEF"])?;
        let y_hdu = psf::first_of(&fits, &["YCOEFF", "YTRACE", "YCOEF"])?;
        let mut header = fits.header(&x_hdu)?;
        let x = LegendreRows::read(&mut fits, &x_hdu)?;
        let y = LegendreRows::read(&mut fits, &y_hdu)?;
        let xsigma = if fits.has("XSIGMA") {
            fits.vector("XSIGMA")?.to_vec()
        } else if fits.has("XSIG") {
            fits.plane_f64("XSIG")?.column(0).to_vec()
        } else {
            let psf = psf::GaussHermitePsf::read(path)?;
            header.extend_missing(&psf.header);
            psf.parameters.get("GHSIGX").map_or_else(Vec::new, |c| c.column(0).to_vec())
        };
        header.remove("WAVEMIN");
        header.remove("WAVEMAX");
        let boot = Self { header, x, y, xsigma };
        boot.check(path)?;
        Ok(boot)
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let mut header = self.header.clone();
        header.set("PSFTYPE", "bootcalib", "");
        let mut fits = FitsWriter::create(path)?;
        self.x.write(&mut fits, "XCOEFF", &header)?;
        self.y.write(&mut fits, "YCOEFF", &Header::new())?;
        fits.image("XSIGMA", ArrayView1::from(&self.xsigma), &Header::new())?;
        fits.finish()
    }

    fn check(&self, path: &Path) -> Result<()> {
        self.x.check(path, "XCOEFF")?;
        self.y.check(path, "YCOEFF")?;
        check_rows(path, "YCOEFF", self.y.coeff.nrows(), self.x.coeff.nrows())?;
        check_rows(path, "XSIGMA", self.xsigma.len(), self.x.coeff.nrows())?;
        check_finite(path, "XSIGMA", "values", &self.xsigma)?;
        match self.xsigma.iter().find(|s| **s < 0.0) {
            None => Ok(()),
            Some(s) => Err(invalid(path, "XSIGMA", "values", "widths >= 0", s)),
        }
    }
}
