//! Grouped spectra: `brick-NAME.fits`, and DESI's `spectra-` and `coadd-` files of any release.

use crate::checks::{check_rows, tidy_resolution};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes::{self, Borrowed, Names};
use crate::{Band, Error, Fibermap, Header, Result, Table, units};
use ndarray::{Array2, Array3};
use std::{collections::BTreeMap, path::Path};

/// Spectra of several targets in up to three bands. Rows agree with the fibermap's; a spectrum without a
/// band has ivar 0 and mask NODATA there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spectra {
    /// Keywords of the primary HDU.
    pub header: Header,
    /// One row a spectrum, HDU FIBERMAP (with NIGHT, EXPID, MJD, TILEID).
    pub fibermap: Fibermap,
    /// One row a target and exposure, HDU EXP_FIBERMAP of a coadd.
    pub exp_fibermap: Option<Fibermap>,
    /// HDUs B_*, R_*, Z_*.
    pub bands: BTreeMap<Band, BandSpectra>,
    /// HDU SCORES.
    pub scores: Option<Table>,
}

/// One band of [`Spectra`]; arrays `[nspec, nwave]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BandSpectra {
    /// Vacuum Angstrom, HDU X_WAVELENGTH.
    pub wave: Vec<f64>,
    /// 1e-17 erg/s/cm2/Angstrom, HDU X_FLUX.
    pub flux: Array2<f32>,
    /// Its inverse variance, HDU X_IVAR.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU X_MASK (zeros where absent).
    pub mask: Array2<u32>,
    /// `[nspec, ndiag, nwave]`, HDU X_RESOLUTION (identity where absent).
    pub resolution: Array3<f32>,
}

impl Spectra {
    /// Reads and validates a file. Bins that are no measurement (flux, ivar or resolution no number, ivar negative) lose
    /// their weight (ivar 0, mask NODATA), with a warning: one bad spectrum does not cost the others.
    ///
    /// A brick file of 2016 holds one band, keyword CHANNEL, and no mask.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let header = fits.header("0")?;
        let fibermap = Fibermap::read_from(&mut fits, "FIBERMAP")?;
        let exp_fibermap = Fibermap::read_optional(&mut fits, "EXP_FIBERMAP")?;
        let scores = if fits.has("SCORES") { Some(fits.table("SCORES")?) } else { None };
        let mut bands = BTreeMap::new();
        for (band, names, resolution) in bands_of(&fits, &header)? {
            let band_spectra = BandSpectra::read(&mut fits, &names, &resolution)?;
            check_rows(path, &names.value, band_spectra.flux.nrows(), fibermap.len())?;
            bands.insert(band, band_spectra);
        }
        Ok(Self { header, fibermap, exp_fibermap, bands, scores })
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_as(path, |band| band.letter().to_uppercase().to_string())
    }

    /// Writes a coadd over the cameras, which [`Spectra::read`] holds as band B, under its own name BRZ.
    pub fn write_merged(&self, path: &Path) -> Result<()> {
        self.write_as(path, |_| "BRZ".to_string())
    }

    fn write_as(&self, path: &Path, name: impl Fn(Band) -> String) -> Result<()> {
        let mut fits = FitsWriter::create(path)?;
        fits.empty_primary(&self.header)?;
        self.fibermap.write_to(&mut fits, "FIBERMAP")?;
        if let Some(exposures) = &self.exp_fibermap {
            exposures.write_to(&mut fits, "EXP_FIBERMAP")?;
        }
        for (band, spectra) in &self.bands {
            let prefix = name(*band);
            let names = Names::with_prefix(&prefix);
            check_rows(path, &names.value, spectra.flux.nrows(), self.fibermap.len())?;
            spectra.write(&mut fits, path, &names, &format!("{prefix}_RESOLUTION"))?;
        }
        if let Some(scores) = &self.scores {
            fits.table("SCORES", scores, &Header::new())?;
        }
        fits.finish()
    }
}

impl BandSpectra {
    fn read(fits: &mut FitsReader, names: &Names, resolution: &str) -> Result<Self> {
        let mut p = planes::read(fits, names)?;
        let r = if fits.has(resolution) {
            fits.cube(resolution)?
        } else {
            Array3::ones((p.values.nrows(), 1, p.wave.len()))
        };
        let r = p.with_resolution(fits.path(), resolution, r)?;
        Ok(Self { wave: p.wave, flux: p.values, ivar: p.ivar, mask: p.mask, resolution: r })
    }

    fn write(&self, fits: &mut FitsWriter, path: &Path, names: &Names, resolution: &str) -> Result<()> {
        let p = Borrowed { path, names, wave: &self.wave, values: &self.flux, ivar: &self.ivar, mask: &self.mask };
        let r = tidy_resolution(path, resolution, &self.resolution, &self.ivar)?;
        p.write_wave(fits)?;
        p.write(fits, &planes::unit(units::FLUX), units::FLUX_IVAR)?;
        fits.image(resolution, r.view(), &Header::new())
    }
}

fn resolution_of(band: Band) -> String {
    format!("{}_RESOLUTION", band.letter().to_ascii_uppercase())
}

/// The bands that a file holds, with the names of their HDUs. A coadd over the cameras (BRZ_*) is held as band B.
fn bands_of(fits: &FitsReader, header: &Header) -> Result<Vec<(Band, Names, String)>> {
    if let Some(band) = header.str("CHANNEL").and_then(|c| c.trim().parse().ok()) {
        return Ok(vec![(band, Names::of(&planes::or_primary(fits, "FLUX")), "RESOLUTION".to_string())]);
    }
    let all = Band::ALL.map(|band| (band, Names::of_band(band.letter()), resolution_of(band)));
    let found: Vec<_> = all.into_iter().filter(|(_, names, _)| fits.has(&names.value)).collect();
    let merged = Names::with_prefix("BRZ");
    if found.is_empty() && fits.has(&merged.value) {
        return Ok(vec![(Band::B, merged, "BRZ_RESOLUTION".to_string())]);
    }
    if found.is_empty() {
        let hdu = "B_FLUX, R_FLUX or Z_FLUX".to_string();
        return Err(Error::MissingHdu { path: fits.path().to_path_buf(), hdu, found: fits.names().join(", ") });
    }
    Ok(found)
}
