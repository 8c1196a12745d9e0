//! `frame-` and `cframe-CAMERA-EXPID.fits`: extracted spectra of one camera.

use crate::checks::{check_rows, tidy, tidy_resolution};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes::{self, Borrowed, Names};
use crate::{FIBERS_PER_SPECTROGRAPH, Fibermap, Header, Result, Table, units};
use ndarray::{Array2, Array3};
use std::path::Path;

/// Spectra on a common wavelength grid; arrays `[nspec, nwave]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// CAMERA, EXPID, NIGHT, FLAVOR, EXPTIME, BUNIT ... of HDU FLUX.
    pub header: Header,
    /// Vacuum Angstrom, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// electron/Angstrom (frame), 1e-17 erg/s/cm2/Angstrom (cframe), HDU FLUX.
    pub flux: Array2<f32>,
    /// Inverse variance of `flux`, HDU IVAR; 0 carries no information.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// `[nspec, ndiag, nwave]`, layout of [`numerics::Resolution`], HDU RESOLUTION.
    pub resolution: Array3<f32>,
    /// PSF-weighted chi2 of the pixels, HDU CHI2PIX.
    pub chi2pix: Option<Array2<f32>>,
    /// One row a spectrum, HDU FIBERMAP.
    pub fibermap: Fibermap,
    /// HDU SCORES.
    pub scores: Option<Table>,
}

impl Frame {
    /// Reads and validates a file.
    ///
    /// Bins that are no measurement (flux, ivar or resolution no number, ivar negative) lose their weight, with a warning:
    /// ivar 0, mask NODATA.
    ///
    /// Today's layout and that of 2016: wavelengths of any float type, and without FIBERMAP the fibres are
    /// numbered from FIBERMIN (or from the camera's first).
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "FLUX"));
        let header = fits.header(&names.value)?;
        let mut p = planes::read(&mut fits, &names)?;
        let resolution = fits.cube("RESOLUTION")?;
        let resolution = p.with_resolution(path, "RESOLUTION", resolution)?;
        let chi2pix = planes::read_optional(&mut fits, "CHI2PIX", &p.ivar)?;
        let fibermap = read_fibermap(&mut fits, &header, p.values.nrows())?;
        let scores = if fits.has("SCORES") { Some(fits.table("SCORES")?) } else { None };
        let header = planes::with_unit(&header, units::of_spectrum(header.str("BUNIT")));
        Ok(Self {
            header,
            wave: p.wave,
            flux: p.values,
            ivar: p.ivar,
            mask: p.mask,
            resolution,
            chi2pix,
            fibermap,
            scores,
        })
    }

    /// Reads the rows that `select` picks from the fibermap, and of the large arrays nothing but them: their CHECKSUMs,
    /// which need all rows, are not verified. CHI2PIX is left out.
    pub fn read_rows(path: &Path, select: impl FnOnce(&Fibermap) -> Vec<usize>) -> Result<Self> {
        Self::some_rows(FitsReader::open(path)?, select)
    }

    /// The same with the CHECKSUMs verified: all bytes are read, but nothing more is done with those of other rows.
    pub fn read_verified_rows(path: &Path, select: impl FnOnce(&Fibermap) -> Vec<usize>) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "FLUX"));
        let large = [&names.value, &names.ivar, &names.mask, "RESOLUTION"];
        for hdu in large.into_iter().filter(|hdu| fits.has(hdu)).collect::<Vec<_>>() {
            fits.verify(hdu)?;
        }
        Self::some_rows(fits, select)
    }

    fn some_rows(mut fits: FitsReader, select: impl FnOnce(&Fibermap) -> Vec<usize>) -> Result<Self> {
        let path = fits.path().to_path_buf();
        let names = Names::of(&planes::or_primary(&fits, "FLUX"));
        let header = fits.header(&names.value)?;
        let nspec = fits.nrows(&names.value)?;
        let fibermap = read_fibermap(&mut fits, &header, nspec)?;
        let rows = select(&fibermap);
        let mut p = planes::read_rows(&mut fits, &names, &rows)?;
        let resolution = fits.rows("RESOLUTION", &rows)?;
        let resolution = p.with_resolution(&path, "RESOLUTION", resolution)?;
        let scores = if fits.has("SCORES") { Some(fits.table("SCORES")?) } else { None };
        Ok(Self {
            header: planes::with_unit(&header, units::of_spectrum(header.str("BUNIT"))),
            wave: p.wave,
            flux: p.values,
            ivar: p.ivar,
            mask: p.mask,
            resolution,
            chi2pix: None,
            fibermap: fibermap.select(&rows),
            scores: scores.filter(|s| s.nrows() == nspec).map(|s| s.select(&rows)),
        })
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let names = Names::of("FLUX");
        let p =
            Borrowed { path, names: &names, wave: &self.wave, values: &self.flux, ivar: &self.ivar, mask: &self.mask };
        check_rows(path, "FIBERMAP", self.fibermap.len(), self.nspec())?;
        let resolution = tidy_resolution(path, "RESOLUTION", &self.resolution, &self.ivar)?;
        let unit = units::of_spectrum(self.header.str("BUNIT"));
        let ivar_unit = if unit == units::FLUX { units::FLUX_IVAR } else { "" };
        let mut fits = FitsWriter::create(path)?;
        p.write(&mut fits, &planes::with_unit(&self.header, unit), ivar_unit)?;
        p.write_wave(&mut fits)?;
        fits.image("RESOLUTION", resolution.view(), &Header::new())?;
        self.fibermap.write_to(&mut fits, "FIBERMAP")?;
        if let Some(chi2) = &self.chi2pix {
            fits.image("CHI2PIX", tidy(path, "CHI2PIX", chi2, &self.ivar)?.view(), &Header::new())?;
        }
        if let Some(scores) = &self.scores {
            fits.table("SCORES", scores, &Header::new())?;
        }
        fits.finish()
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }

    /// Whether BUNIT is a flux (a cframe of any year), not counts.
    pub fn is_calibrated(&self) -> bool {
        units::of_spectrum(self.header.str("BUNIT")) == units::FLUX
    }

    /// Number of spectra.
    pub fn nspec(&self) -> usize {
        self.flux.nrows()
    }

    /// Inverse variance with masked bins at 0, spectrum `i`, as f64.
    pub fn good_ivar(&self, i: usize) -> Vec<f64> {
        self.ivar.row(i).iter().zip(self.mask.row(i)).map(|(w, m)| if *m == 0 { f64::from(*w) } else { 0.0 }).collect()
    }

    /// Resolution matrix of spectrum `i` where it lies, for products without a copy.
    pub fn resolution_view(&self, i: usize) -> numerics::View<'_, f32> {
        numerics::View::of_dia(self.resolution.index_axis(ndarray::Axis(0), i))
    }

    /// Resolution matrix of spectrum `i`.
    pub fn resolution_of(&self, i: usize) -> numerics::Resolution {
        numerics::Resolution::from_dia(self.resolution.index_axis(ndarray::Axis(0), i))
    }
}

/// The FIBERMAP of a frame; where a 2016 file has none, the numbers of its fibres.
fn read_fibermap(fits: &mut FitsReader, header: &Header, nspec: usize) -> Result<Fibermap> {
    if !fits.has("FIBERMAP") {
        let of_camera = || header.camera().map_or(0, |c| FIBERS_PER_SPECTROGRAPH as i64 * i64::from(c.spectrograph));
        let first = header.int("FIBERMIN").unwrap_or_else(of_camera);
        return Ok(Fibermap::numbered(first as i32, nspec));
    }
    let fibermap = Fibermap::read_from(fits, "FIBERMAP")?;
    check_rows(fits.path(), "FIBERMAP", fibermap.len(), nspec)?;
    Ok(fibermap)
}
