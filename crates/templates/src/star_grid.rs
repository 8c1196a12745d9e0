//! Model spectra of stars for flux calibration.

use crate::builtin;
use datamodel::fits::FitsReader;
use datamodel::{Error, Header, Result, Table, Value};
use ndarray::{Array2, Ix2};
use std::path::Path;

/// Model spectra of stars for flux calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct StarGrid {
    /// Vacuum Angstrom.
    pub wave: Vec<f64>,
    /// `[nmodel, nwave]`, flux density per Angstrom in arbitrary units.
    pub flux: Array2<f64>,
    /// Effective temperature of each model, K.
    pub teff: Vec<f64>,
    /// log10 of the surface gravity in cm/s2.
    pub logg: Vec<f64>,
    /// [Fe/H] in dex.
    pub feh: Vec<f64>,
}

impl StarGrid {
    /// Reads DESI's star templates (formats.md 8: HDU 0 flux, a table with TEFF, LOGG and FEH, wavelengths in
    /// an HDU or in the keywords of HDU 0) or SDSS's kurucz_stds (table with TEFF, G and FEH; log10 grid).
    ///
    /// # Errors
    /// A file that cannot be read, lacks one of these, or whose sizes do not match.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let invalid = |item: &str, expected: String, found: String| Error::Invalid {
            path: path.to_path_buf(),
            hdu: "0".to_string(),
            item: item.to_string(),
            expected,
            found,
        };
        let image = fits.image_f64("0")?;
        let shape = format!("{:?}", image.shape());
        let flux: Array2<f64> =
            image.into_dimensionality::<Ix2>().map_err(|_| invalid("shape", "[nmodel, nwave]".to_string(), shape))?;
        if flux.iter().any(|x| !x.is_finite()) {
            return Err(invalid("values", "finite numbers".to_string(), "others".to_string()));
        }
        let table = fits.table(&fits.names().get(1).cloned().unwrap_or("1".to_string()))?;
        let column = |names: &[&str]| -> Result<Vec<f64>> {
            let found = names.iter().find_map(|name| table.floats(name));
            let n = found.as_ref().map_or("no such column".to_string(), |c: &Vec<f64>| format!("{} rows", c.len()));
            found
                .filter(|c| c.len() == flux.nrows())
                .ok_or_else(|| invalid(&format!("column {}", names.join(" or ")), format!("{} rows", flux.nrows()), n))
        };
        let (teff, logg, feh) = (column(&["TEFF"])?, column(&["LOGG", "G"])?, column(&["FEH"])?);
        let wave = match wavelengths_of_hdu(&mut fits)? {
            Some(wave) => wave,
            None => wavelengths_of_keywords(&fits.header("0")?, path, flux.ncols())?,
        };
        if wave.len() != flux.ncols() || wave.windows(2).any(|w| w[0] >= w[1]) {
            return Err(invalid("wavelengths", format!("{} ascending", flux.ncols()), format!("{}", wave.len())));
        }
        Ok(Self { wave, flux, teff, logg, feh })
    }

    /// The grid that needs no file: Teff 5000-8500 K, log g 3.0-4.5, [Fe/H] -2 to 0.5, 3500-10000 A in steps
    /// of 14 km/s; lines broadened to 20 km/s.
    pub fn builtin() -> Self {
        builtin::star::grid()
    }
}

/// The wavelengths that today's files keep in the third HDU.
fn wavelengths_of_hdu(fits: &mut FitsReader) -> Result<Option<Vec<f64>>> {
    let Some(name) = fits.names().get(2).cloned() else { return Ok(None) };
    let is_table = fits.table(&name).is_ok_and(|t: Table| !t.columns().is_empty());
    if is_table { Ok(None) } else { Ok(Some(fits.vector(&name)?.to_vec())) }
}

/// The wavelengths that older files keep in CRVAL1 and CDELT1 (CD1_1); log10 if LOGLAM is set or the start
/// is too small to be Angstrom.
fn wavelengths_of_keywords(header: &Header, path: &Path, n: usize) -> Result<Vec<f64>> {
    let start = header.require_float(path, "0", "CRVAL1")?;
    let step = match header.float("CDELT1") {
        Some(step) => step,
        None => header.require_float(path, "0", "CD1_1")?,
    };
    let log = start < 10.0 || matches!(header.get("LOGLAM"), Some(Value::Bool(true) | Value::Int(1)));
    Ok((0..n).map(|i| start + step * i as f64).map(|x| if log { 10f64.powf(x) } else { x }).collect())
}
