//! SDSS and BOSS spectra: one a file (`spec-PLATE-MJD-FIBER.fits`, lite or full) or those of a plate
//! (`spPlate-PLATE-MJD.fits`).

use crate::spectrum::{Channel, Grid};
use datamodel::{ColumnData, Error, Fibermap, Header, Result, Table, fits::FitsReader};
use numerics::Resolution;
use std::{path::Path, sync::Arc};

/// `wdisp` below this is no measurement; bins of such a `wdisp` are taken to be this wide (rms in bins), as
/// redrock does.
const SMALLEST_DISPERSION: f64 = 1e-5;
const DEFAULT_DISPERSION: f64 = 2.0;

/// A Gaussian is cut where it holds less than 1e-6 of the light.
const REACH: f64 = 5.0;

/// HDUs of a plate's file.
const FLUX: &str = "0";
const IVAR: &str = "1";
const AND_MASK: &str = "2";
const DISPERSION: &str = "4";
const PLUGMAP: &str = "5";

/// Spectra on one grid, with their fibermap.
#[derive(Debug)]
pub struct SdssSpectra {
    grid: Arc<Grid>,
    rows: Vec<Row>,
    /// TARGETID (plate x 10^9 + mjd x 10^4 + fibre), TARGET_RA, TARGET_DEC, OBJTYPE, PLATE, MJD, FIBERID: one row a
    /// spectrum.
    pub fibermap: Fibermap,
}

/// One spectrum, a value a bin.
#[derive(Debug)]
struct Row {
    flux: Vec<f64>,
    /// 0 where masked.
    ivar: Vec<f64>,
    /// rms of the resolution, in bins.
    dispersion: Vec<f64>,
}

/// Where a fibre pointed: what the fibermap says of it.
struct Fibre {
    id: i64,
    ra: f64,
    dec: f64,
    sky: bool,
}

/// Whether a file holds spectra of SDSS: HDU COADD, the planes of a plate, or a table of one spectrum.
pub fn is_sdss(fits: &mut FitsReader) -> bool {
    let of_plate = |h: Header| ["COEFF0", "PLATEID"].iter().any(|key| h.get(key).is_some());
    let of_spectrum = |t: Table| ["flux", "loglam"].iter().any(|name| t.column(name).is_some());
    fits.has("COADD")
        || (fits.has("1") && (fits.header("0").is_ok_and(of_plate) || fits.table("1").is_ok_and(of_spectrum)))
}

impl SdssSpectra {
    /// Reads an open file of either kind.
    ///
    /// # Errors
    /// Columns flux, loglam, ivar or wdisp of a spectrum, or the planes or COEFF0 and COEFF1 of a plate, or the
    /// keywords of plate, MJD and fibre are missing or of another shape.
    pub fn read(fits: &mut FitsReader) -> Result<Self> {
        let plate = fits.header("0")?.float("COEFF0").is_some() && fits.has(PLUGMAP) && !fits.has("COADD");
        if plate { Self::read_plate(fits) } else { Self::read_one(fits) }
    }

    fn read_one(fits: &mut FitsReader) -> Result<Self> {
        let path = fits.path().to_path_buf();
        let hdu = if fits.has("COADD") { "COADD" } else { "1" };
        let table = fits.table(hdu)?;
        let column =
            |name: &str| table.floats(name).ok_or_else(|| invalid(&path, hdu, &format!("column {name}"), "numbers"));
        let (flux, loglam, mut ivar, dispersion) =
            (column("flux")?, column("loglam")?, column("ivar")?, column("wdisp")?);
        let grid = grid(&loglam).ok_or_else(|| invalid(&path, hdu, "column loglam", LOGLAM))?;
        if let Some(masks) = table.ints("and_mask") {
            ivar.iter_mut().zip(masks).filter(|(_, m)| *m != 0).for_each(|(w, _)| *w = 0.0);
        }
        let (plate, mjd, id) = identity(&fits.header("0")?, &path)?;
        let fibermap = fibermap(plate, mjd, &[one_fibre(fits, id)?]);
        Ok(Self { grid, rows: vec![Row { flux, ivar, dispersion }], fibermap })
    }

    fn read_plate(fits: &mut FitsReader) -> Result<Self> {
        let path = fits.path().to_path_buf();
        let header = fits.header("0")?;
        let flux = fits.plane_f64(FLUX)?;
        let (ivar, dispersion) = (fits.plane_f64(IVAR)?, fits.plane_f64(DISPERSION)?);
        let masks = fits.mask(AND_MASK)?;
        let fibres = plate_fibres(&fits.table(PLUGMAP)?);
        for (hdu, shape) in [(IVAR, ivar.dim()), (AND_MASK, masks.dim()), (DISPERSION, dispersion.dim())] {
            if shape != flux.dim() {
                return Err(invalid(&path, hdu, "shape", &format!("that of the fluxes, {:?}", flux.dim())));
            }
        }
        if fibres.len() != flux.nrows() {
            return Err(invalid(&path, PLUGMAP, "rows", &format!("{}, one a spectrum", flux.nrows())));
        }
        let loglam = loglam(&header, flux.ncols()).ok_or_else(|| invalid(&path, "0", "keyword COEFF1", LOGLAM))?;
        let grid = grid(&loglam).ok_or_else(|| invalid(&path, "0", "keywords COEFF0, COEFF1", LOGLAM))?;
        let (Some(plate), Some(mjd)) = (header.int("PLATEID"), header.int("MJD")) else {
            return Err(invalid(&path, "0", "keywords PLATEID, MJD", "integers"));
        };
        let row = |i: usize| Row {
            flux: flux.row(i).to_vec(),
            ivar: ivar.row(i).iter().zip(masks.row(i)).map(|(&w, &m)| if m == 0 { w } else { 0.0 }).collect(),
            dispersion: dispersion.row(i).to_vec(),
        };
        Ok(Self { grid, rows: (0..flux.nrows()).map(row).collect(), fibermap: fibermap(plate, mjd, &fibres) })
    }

    /// The bins.
    pub fn grid(&self) -> &Arc<Grid> {
        &self.grid
    }

    /// One of the spectra.
    pub fn channel(&self, row: usize) -> Channel {
        let Row { flux, ivar, dispersion } = &self.rows[row];
        Channel { grid: self.grid.clone(), flux: flux.clone(), ivar: ivar.clone(), resolution: resolution(dispersion) }
    }
}

/// What the wavelengths must be.
const LOGLAM: &str = "at least 3 ascending values of log10 Angstrom";

fn loglam(header: &Header, n: usize) -> Option<Vec<f64>> {
    let (first, step) = (header.float("COEFF0")?, header.float("COEFF1")?);
    Some((0..n).map(|i| first + step * i as f64).collect())
}

/// The grid of log10 wavelengths, if they ascend and are wavelengths.
fn grid(loglam: &[f64]) -> Option<Arc<Grid>> {
    let good = loglam.len() >= 3 && loglam.windows(2).all(|w| w[1] > w[0] && w[0] > 0.0 && w[1] < 6.0);
    good.then(|| Arc::new(Grid::new(loglam.iter().map(|l| 10f64.powf(*l)).collect())))
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

/// What the file of one spectrum says of its fibre.
fn one_fibre(fits: &mut FitsReader, id: i64) -> Result<Fibre> {
    let header = fits.header("0")?;
    let all = ["SPALL", "SPECOBJ", "2"].into_iter().find(|h| fits.has(h));
    let all = all.map(|hdu| fits.table(hdu)).transpose()?.unwrap_or_default();
    let degrees = |keys: [&str; 2]| {
        let in_table = keys.iter().find_map(|k| all.floats(k)?.first().copied());
        in_table.or(keys.iter().find_map(|k| header.float(k))).filter(|x| x.is_finite()).unwrap_or(0.0)
    };
    let sky = all.strings("OBJTYPE").and_then(|v| v.first()).is_some_and(|t| t.trim() == "SKY");
    Ok(Fibre { id, ra: degrees(["PLUG_RA", "RA"]), dec: degrees(["PLUG_DEC", "DEC"]), sky })
}

/// The fibres of a plate; without FIBERID they are numbered from 1.
fn plate_fibres(plugmap: &Table) -> Vec<Fibre> {
    let ids = plugmap.ints("FIBERID");
    let (ra, dec, types) = (plugmap.floats("RA"), plugmap.floats("DEC"), plugmap.strings("OBJTYPE"));
    let degrees = |v: &Option<Vec<f64>>, i: usize| v.as_ref().map(|v| v[i]).filter(|x| x.is_finite()).unwrap_or(0.0);
    let fibre = |i: usize| Fibre {
        id: ids.as_ref().map_or(i as i64 + 1, |v| v[i]),
        ra: degrees(&ra, i),
        dec: degrees(&dec, i),
        sky: types.is_some_and(|t| t[i].trim() == "SKY"),
    };
    (0..plugmap.nrows()).map(fibre).collect()
}

fn fibermap(plate: i64, mjd: i64, fibres: &[Fibre]) -> Fibermap {
    let floats = |f: fn(&Fibre) -> f64| ColumnData::F64(fibres.iter().map(f).collect());
    let targetid = |f: &Fibre| plate * 1_000_000_000 + mjd * 10_000 + f.id;
    let objtype = |f: &Fibre| if f.sky { "SKY" } else { "TGT" }.to_string();
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(fibres.iter().map(targetid).collect()));
    table.set("TARGET_RA", "deg", floats(|f| f.ra)).set("TARGET_DEC", "deg", floats(|f| f.dec));
    table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: fibres.iter().map(objtype).collect() });
    table.set("PLATE", "", ColumnData::I32(vec![plate as i32; fibres.len()]));
    table.set("MJD", "d", ColumnData::I32(vec![mjd as i32; fibres.len()]));
    table.set("FIBERID", "", ColumnData::I32(fibres.iter().map(|f| f.id as i32).collect()));
    Fibermap { header: Header::new(), table }
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
