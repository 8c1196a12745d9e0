//! SDSS and BOSS spectra, one a file: `spec-PLATE-MJD-FIBER.fits`, lite or full.

use crate::spectrum::{Channel, Grid};
use datamodel::{Column, ColumnData, Error, Fibermap, Header, Result, Table, fits::FitsReader};
use numerics::Resolution;
use std::{path::Path, sync::Arc};

/// `wdisp` below this is no measurement; bins of such a `wdisp` are taken to be this wide (rms in bins), as
/// redrock does.
const SMALLEST_DISPERSION: f64 = 1e-5;
const DEFAULT_DISPERSION: f64 = 2.0;

/// A Gaussian is cut where it holds less than 1e-6 of the light.
const REACH: f64 = 5.0;

/// One spectrum with its row of a fibermap.
#[derive(Debug)]
pub struct SdssSpectrum {
    /// plate x 10^9 + mjd x 10^4 + fibre.
    pub targetid: i64,
    /// The spectrum; masked bins have ivar 0.
    pub channel: Channel,
    /// TARGETID, TARGET_RA, TARGET_DEC, OBJTYPE, PLATE, MJD, FIBERID: one row.
    pub fibermap: Fibermap,
}

/// Whether the file is one (and not of DESI's kind).
pub fn is_sdss(fits: &FitsReader) -> bool {
    fits.has("COADD") || (!fits.has("FIBERMAP") && fits.has("1") && !fits.has("FLUX"))
}

impl SdssSpectrum {
    /// Reads an open file.
    ///
    /// # Errors
    /// Columns flux, loglam, ivar or wdisp, or the keywords of plate, MJD and fibre, are missing.
    pub fn read(fits: &mut FitsReader) -> Result<Self> {
        let path = fits.path().to_path_buf();
        let hdu = if fits.has("COADD") { "COADD" } else { "1" };
        let table = fits.table(hdu)?;
        let column =
            |name: &str| table.floats(name).ok_or_else(|| invalid(&path, hdu, &format!("column {name}"), "numbers"));
        let (flux, loglam, mut ivar, wdisp) = (column("flux")?, column("loglam")?, column("ivar")?, column("wdisp")?);
        if loglam.len() < 3 || loglam.windows(2).any(|w| !(w[1] > w[0] && w[0] > 0.0 && w[1] < 6.0)) {
            return Err(invalid(&path, hdu, "column loglam", "at least 3 ascending values of log10 Angstrom"));
        }
        let masks = table.ints("and_mask").unwrap_or_else(|| vec![0; ivar.len()]);
        ivar.iter_mut().zip(masks).filter(|(_, m)| *m != 0).for_each(|(w, _)| *w = 0.0);
        let (plate, mjd, fibre) = identity(&fits.header("0")?, &path)?;
        let targetid = plate * 1_000_000_000 + mjd * 10_000 + fibre;
        let fibermap = fibermap(fits, targetid, [plate, mjd, fibre])?;
        let resolution = resolution(&wdisp);
        let grid = Arc::new(Grid::new(loglam.iter().map(|l| 10f64.powf(*l)).collect()));
        Ok(Self { targetid, channel: Channel { grid, flux, ivar, resolution }, fibermap })
    }
}

/// Rows are Gaussians of `dispersion` bins rms, integrated over the bins and normalised.
pub fn resolution(dispersion: &[f64]) -> Resolution {
    let sigma: Vec<f64> = dispersion
        .iter()
        .map(|&s| if s.is_finite() && s > SMALLEST_DISPERSION { s } else { DEFAULT_DISPERSION })
        .collect();
    let widest = sigma.iter().fold(0.0f64, |m, s| m.max(*s)).min(20.0);
    let half = (REACH * widest).ceil() as usize;
    let mut r = Resolution::zeros(2 * half + 1, sigma.len());
    for (i, s) in sigma.iter().enumerate() {
        let edge = |x: f64| 0.5 * libm::erf(x / (s * std::f64::consts::SQRT_2));
        let part = |j: usize| edge(j as f64 - i as f64 + 0.5) - edge(j as f64 - i as f64 - 0.5);
        let sum: f64 = r.columns(i).map(part).sum();
        for j in r.columns(i) {
            r.set(i, j, part(j) / sum);
        }
    }
    r
}

/// Plate, MJD and fibre, from the header or else from the name of the file.
fn identity(header: &Header, path: &Path) -> Result<(i64, i64, i64)> {
    let key = |names: &[&str]| names.iter().find_map(|n| header.int(n));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parts: Vec<Option<i64>> = stem.split('-').skip(1).map(|p| p.parse().ok()).collect();
    let named = |i: usize| if parts.len() == 3 { parts[i] } else { None };
    let plate = key(&["PLATEID", "PLATE"]).or(named(0));
    let mjd = key(&["MJD"]).or(named(1));
    let fibre = key(&["FIBERID", "FIBER"]).or(named(2));
    match (plate, mjd, fibre) {
        (Some(plate), Some(mjd), Some(fibre)) => Ok((plate, mjd, fibre)),
        _ => Err(invalid(
            path,
            "0",
            "keywords PLATEID, MJD, FIBERID",
            "integers, or a file name spec-PLATE-MJD-FIBER.fits",
        )),
    }
}

fn fibermap(fits: &mut FitsReader, targetid: i64, [plate, mjd, fibre]: [i64; 3]) -> Result<Fibermap> {
    let header = fits.header("0")?;
    let all = ["SPALL", "SPECOBJ", "2"].into_iter().find(|h| fits.has(h));
    let all = all.map(|hdu| fits.table(hdu)).transpose()?.unwrap_or_default();
    let sky = all.strings("OBJTYPE").and_then(|v| v.first()).is_some_and(|t| t.trim() == "SKY");
    let degrees = |keys: [&str; 2]| {
        let in_table = keys.iter().find_map(|k| all.floats(k)?.first().copied());
        in_table.or(keys.iter().find_map(|k| header.float(k))).filter(|x| x.is_finite()).unwrap_or(0.0)
    };
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(vec![targetid]));
    table.set("TARGET_RA", "deg", ColumnData::F64(vec![degrees(["PLUG_RA", "RA"])]));
    table.set("TARGET_DEC", "deg", ColumnData::F64(vec![degrees(["PLUG_DEC", "DEC"])]));
    let objtype = if sky { "SKY" } else { "TGT" };
    table.set_column(Column {
        name: "OBJTYPE".into(),
        unit: String::new(),
        shape: vec![],
        data: ColumnData::Str { width: 3, values: vec![objtype.into()] },
    });
    table.set("PLATE", "", ColumnData::I32(vec![plate as i32]));
    table.set("MJD", "d", ColumnData::I32(vec![mjd as i32]));
    table.set("FIBERID", "", ColumnData::I32(vec![fibre as i32]));
    Ok(Fibermap { header: Header::new(), table })
}

fn invalid(path: &Path, hdu: &str, item: &str, expected: &str) -> Error {
    Error::Invalid {
        path: path.to_path_buf(),
        hdu: hdu.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        found: "none, or of another type".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolution_row_is_a_gaussian_of_the_given_width() {
        let n = 101;
        let dispersion: Vec<f64> = (0..n).map(|i| if i == 20 { 0.0 } else { 0.7 + 0.01 * i as f64 }).collect();
        let r = resolution(&dispersion);
        for i in [20usize, 40, 60] {
            let sigma = if i == 20 { 2.0 } else { dispersion[i] };
            let (mut sum, mut moment) = (0.0, 0.0);
            for j in r.columns(i) {
                sum += r.get(i, j);
                moment += r.get(i, j) * (j as f64 - i as f64).powi(2);
            }
            // the box of a bin adds 1/12
            assert!((sum - 1.0).abs() < 1e-12 && (moment - sigma * sigma - 1.0 / 12.0).abs() < 1e-3, "{i} {moment}");
        }
    }
}
