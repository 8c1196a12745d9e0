//! Archetypes: whole spectra, rather than coefficients of a basis, as the last word on a fit.
//!
//! At the redshift of each minimum that a basis has found, every archetype of its class is fitted as
//! `alpha A + sum_k c_k P_k`, `alpha >= 0`, with Legendre polynomials of each camera against errors of calibration; its
//! chi2 replaces that of the basis (redrock's archetype mode; same polynomials and prior).

use crate::{
    observe::{observe, transmission},
    search::Minimum,
    spectrum::{Channel, Target},
};
use datamodel::{Error, Result, Value, fits::FitsReader, mask::zwarn};
use ndarray::Array2;
use numerics::legendre;
use std::path::{Path, PathBuf};
use templates::{Igm, Template};

/// HDU of a file.
const HDU: &str = "ARCHETYPES";

/// Legendre polynomials of each camera: constant and slope.
const TERMS: usize = 2;

/// Their coefficients are 0 within this, 1e-17 erg/s/cm2/Angstrom, where there are several cameras.
const PRIOR_SIGMA: f64 = 0.1;

/// The archetypes of one class: a file `rrarchetype-*.fits`.
#[derive(Debug, Clone)]
pub struct Set {
    /// GALAXY, QSO or STAR (RRTYPE).
    pub spectype: String,
    /// VERSION of the file.
    pub version: String,
    /// Name of the file.
    pub source: String,
    /// Rest-frame vacuum Angstrom, ascending.
    pub wave: Vec<f64>,
    /// `[narchetype, nwave]`.
    pub flux: Array2<f64>,
    /// Name of each, its number appended: `ELG_12`.
    pub subtypes: Vec<String>,
}

/// An archetype fitted to a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Its name.
    pub subtype: String,
    /// Its factor.
    pub alpha: f64,
    /// First wavelength of each camera and the coefficients of its polynomials.
    pub legendre: Vec<(f64, [f64; TERMS])>,
    /// chi2, without the prior's part.
    pub chi2: f64,
}

/// The archetypes in use; of any class none or one set.
#[derive(Debug, Clone, Default)]
pub struct Archetypes {
    /// The sets.
    pub sets: Vec<Set>,
}

impl Archetypes {
    /// The files rrarchetype-*.fits of a folder, or one file.
    ///
    /// # Errors
    /// No such path or no such file in it; a file without ARCHETYPES, its class or wavelengths; values that are not
    /// finite; a class that two files have.
    pub fn load(path: &Path) -> Result<Self> {
        let mut sets: Vec<Set> = Vec::new();
        for file in files(path)? {
            let set = Set::read(&file)?;
            if let Some(other) = sets.iter().find(|s| s.spectype == set.spectype) {
                let found = format!("{}, which {} has too", set.spectype, other.source);
                return Err(invalid(&file, "keyword RRTYPE", "a class that no other file has", found));
            }
            sets.push(set);
        }
        Ok(Self { sets })
    }

    /// Replaces the chi2 of fits by that of the best archetype of their class, where there are archetypes of it.
    /// `cameras` is the number of channels of the target, whether they have data or not.
    pub fn refit(&self, fits: &mut [Minimum], target: &Target, cameras: usize, igm: impl Fn(usize) -> Igm) {
        if self.sets.is_empty() {
            return;
        }
        let prior = if cameras > 1 { PRIOR_SIGMA.powi(-2) } else { 0.0 };
        let cameras: Vec<Camera> = target.channels.iter().map(|c| Camera::new(c, prior)).collect();
        for fit in fits {
            let Some(set) = self.sets.iter().find(|s| s.spectype == fit.spectype) else { continue };
            let Some(best) = set.best(&cameras, target.null_chi2(), igm(fit.template), fit.z) else { continue };
            fit.chi2 = best.chi2;
            if best.alpha <= 0.0 {
                fit.zwarn |= zwarn::NEGATIVE_MODEL;
            }
            fit.archetype = Some(Box::new(best));
        }
    }

    /// The observed wavelengths that every set spans at all redshifts of the templates of its class.
    pub fn coverage<'a>(&self, templates: impl Iterator<Item = &'a Template> + Clone) -> (f64, f64) {
        let pairs = self.sets.iter().flat_map(|s| templates.clone().map(move |t| (s, t)));
        pairs.filter(|(s, t)| s.spectype == t.spectype).fold((0.0, f64::INFINITY), |(low, high), (s, t)| {
            let (first, last) = (s.wave[0], s.wave[s.wave.len() - 1]);
            let (z_min, z_max) = (t.redshifts[0], t.redshifts[t.redshifts.len() - 1]);
            ((first * (1.0 + z_max)).max(low), (last * (1.0 + z_min)).min(high))
        })
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_path_buf() },
        _ => Error::Io { path: path.to_path_buf(), action: "open", source },
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("rrarchetype-") && name.ends_with(".fits") {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Error::Missing { path: path.join("rrarchetype-*.fits") }),
        false => Ok(files),
    }
}

impl Set {
    /// Reads a file: HDU ARCHETYPES with columns ARCHETYPE and SUBTYPE, keywords CRVAL1, CDELT1, LOGLAM, RRTYPE.
    fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let (header, table) = (fits.header(HDU)?, fits.table(HDU)?);
        let spectype = header.str("RRTYPE").unwrap_or_default().trim().to_uppercase();
        if !["GALAXY", "QSO", "STAR"].contains(&spectype.as_str()) {
            return Err(invalid(path, "keyword RRTYPE", "GALAXY, QSO or STAR", format!("{spectype:?}")));
        }
        let values = table.floats("ARCHETYPE").unwrap_or_default();
        let n = table.nrows();
        let nwave = values.len().checked_div(n).unwrap_or(0);
        if nwave < 2 || !values.iter().all(|x| x.is_finite()) {
            return Err(invalid(path, "column ARCHETYPE", "spectra of finite numbers", "others".into()));
        }
        let (start, step) = (header.require_float(path, HDU, "CRVAL1")?, header.require_float(path, HDU, "CDELT1")?);
        let log = header.get("LOGLAM").is_some_and(|v| !matches!(v, Value::Bool(false) | Value::Int(0)));
        let wave: Vec<f64> =
            (0..nwave).map(|i| start + step * i as f64).map(|x| if log { 10f64.powf(x) } else { x }).collect();
        if !(wave[0] > 0.0 && step > 0.0 && wave[nwave - 1].is_finite()) {
            let found = format!("{start} and {step}");
            return Err(invalid(path, "keywords CRVAL1 and CDELT1", "positive, ascending wavelengths", found));
        }
        let flux = Array2::from_shape_vec((n, nwave), values)
            .map_err(|e| invalid(path, "column ARCHETYPE", "spectra of one length", e.to_string()))?;
        let name = |i: usize| table.strings("SUBTYPE").map_or("", |v| v[i].trim());
        Ok(Self {
            spectype,
            version: header.str("VERSION").unwrap_or("unknown").trim().to_string(),
            source: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            wave,
            flux,
            subtypes: (0..n).map(|i| format!("{}_{i}", name(i))).collect(),
        })
    }

    /// The number of the archetype of this name.
    pub fn position(&self, subtype: &str) -> Option<usize> {
        self.subtypes.iter().position(|s| s == subtype.trim())
    }

    /// The archetype of the lowest chi2 at redshift `z`; `None` if none has any overlap with the data.
    fn best(&self, cameras: &[Camera], null_chi2: f64, igm: Igm, z: f64) -> Option<Match> {
        let absorbed: Vec<Vec<f64>> = cameras.iter().map(|c| transmission(&c.channel.grid, igm, z)).collect();
        let mut best: Option<Match> = None;
        for (i, flux) in self.flux.rows().into_iter().enumerate() {
            let flux = flux.to_vec();
            let sums: Vec<Sums> = cameras
                .iter()
                .zip(&absorbed)
                .map(|(c, t)| c.sums(&observe(c.channel, &self.wave, &flux, z, t)))
                .collect();
            let Some(fit) = solve(cameras, &sums, null_chi2) else { continue };
            if best.as_ref().is_none_or(|b| fit.chi2 < b.chi2) {
                best = Some(Match { subtype: self.subtypes[i].clone(), ..fit });
            }
        }
        best
    }
}

/// A channel and its polynomials, through the resolution as redrock has them.
struct Camera<'a> {
    channel: &'a Channel,
    polynomials: [Vec<f64>; TERMS],
    /// Inverse of their normal matrix with the prior; 0 if it is singular.
    inverse: [[f64; TERMS]; TERMS],
    /// Their normal matrix without the prior, and their products with the data.
    matrix: [[f64; TERMS]; TERMS],
    rhs: [f64; TERMS],
}

/// Weighted products of an archetype with itself, the data and the polynomials.
struct Sums {
    square: f64,
    rhs: f64,
    cross: [f64; TERMS],
}

impl<'a> Camera<'a> {
    fn new(channel: &'a Channel, prior: f64) -> Self {
        let wave = &channel.grid.wave;
        let (first, last) = (wave[0], wave[wave.len() - 1]);
        let term = |k: usize| -> Vec<f64> {
            let value = |w: &f64| legendre::polynomials(legendre::reduced(*w, first, last), TERMS)[k];
            channel.resolution.apply(&wave.iter().map(value).collect::<Vec<_>>())
        };
        let polynomials: [Vec<f64>; TERMS] = std::array::from_fn(term);
        let product = |a: &[f64], b: &[f64]| weighted(&channel.ivar, a, b);
        let matrix = std::array::from_fn(|j| std::array::from_fn(|k| product(&polynomials[j], &polynomials[k])));
        let rhs = std::array::from_fn(|k| product(&polynomials[k], &channel.flux));
        let inverse = inverse(matrix, prior);
        Self { channel, polynomials, inverse, matrix, rhs }
    }

    fn sums(&self, seen: &[f64]) -> Sums {
        let product = |v: &[f64]| weighted(&self.channel.ivar, seen, v);
        Sums {
            square: product(seen),
            rhs: product(&self.channel.flux),
            cross: std::array::from_fn(|k| product(&self.polynomials[k])),
        }
    }

    /// The coefficients of the polynomials for a factor of the archetype.
    fn coefficients(&self, sums: &Sums, alpha: f64) -> [f64; TERMS] {
        apply(&self.inverse, &std::array::from_fn(|k| self.rhs[k] - alpha * sums.cross[k]))
    }
}

/// The best fit of one archetype: the polynomials of a camera touch no other's data, so that they are eliminated camera by
/// camera, which leaves one equation for the factor.
fn solve(cameras: &[Camera], sums: &[Sums], null_chi2: f64) -> Option<Match> {
    let (mut square, mut rhs) = (0.0, 0.0);
    for (c, s) in cameras.iter().zip(sums) {
        let eliminated = apply(&c.inverse, &s.cross);
        square += s.square - dot(&eliminated, &s.cross);
        rhs += s.rhs - dot(&eliminated, &c.rhs);
    }
    let scale: f64 = sums.iter().map(|s| s.square).sum();
    if square.is_nan() || square <= 1e-12 * scale {
        return None;
    }
    let alpha = (rhs / square).max(0.0);
    let mut chi2 = null_chi2;
    let mut legendre = Vec::with_capacity(cameras.len());
    for (c, s) in cameras.iter().zip(sums) {
        let k = c.coefficients(s, alpha);
        chi2 += alpha * (alpha * s.square - 2.0 * s.rhs) + 2.0 * (alpha * dot(&k, &s.cross) - dot(&k, &c.rhs));
        chi2 += dot(&k, &apply(&c.matrix, &k));
        legendre.push((c.channel.grid.wave[0], k));
    }
    Some(Match { subtype: String::new(), alpha, legendre, chi2 })
}

fn weighted(weight: &[f64], a: &[f64], b: &[f64]) -> f64 {
    weight.iter().zip(a.iter().zip(b)).map(|(w, (a, b))| w * a * b).sum()
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn apply(m: &[[f64; TERMS]; TERMS], v: &[f64; TERMS]) -> [f64; TERMS] {
    std::array::from_fn(|i| dot(&m[i], v))
}

/// The inverse of `matrix + prior`, zeros if it is singular.
fn inverse(matrix: [[f64; TERMS]; TERMS], prior: f64) -> [[f64; TERMS]; TERMS] {
    let [[a, b], [_, d]] = matrix;
    let (a, d) = (a + prior, d + prior);
    let determinant = a * d - b * b;
    if determinant.is_nan() || determinant <= 1e-12 * a * d {
        return [[0.0; TERMS]; TERMS];
    }
    [[d / determinant, -b / determinant], [-b / determinant, a / determinant]]
}

fn invalid(path: &Path, item: &str, expected: &str, found: String) -> Error {
    Error::Invalid {
        path: path.to_path_buf(),
        hdu: HDU.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        found,
    }
}
