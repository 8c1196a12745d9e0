//! A basis of rest-frame spectra, and redrock's file format for it.

use crate::{Igm, Method};
use datamodel::fits::FitsReader;
use datamodel::{Error, Header, Result, Value};
use ndarray::{Array2, Ix2};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// HDU of the basis.
const BASIS: &str = "BASIS_VECTORS";

/// A basis of rest-frame spectra for one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// GALAXY, QSO or STAR (RRTYPE).
    pub spectype: String,
    /// Of a star its type (RRSUBTYP), of a quasar LOZ or HIZ, else empty.
    pub subtype: String,
    /// VERSION of the file.
    pub version: String,
    /// File name, or "built-in".
    pub source: String,
    /// Rest-frame vacuum Angstrom, ascending.
    pub wave: Vec<f64>,
    /// `[nbasis, nwave]`, flux density per Angstrom in arbitrary units.
    pub basis: Array2<f64>,
    /// Redshifts to scan, ascending.
    pub redshifts: Vec<f64>,
    /// Its IGM model.
    pub igm: Igm,
    /// Its fit.
    pub method: Method,
    /// `[nspectrum, nbasis]`, coefficients of spectra that the basis was made from (HDU ARCHETYPE_COEFF); no rows where
    /// the file does not say.
    pub coefficients: Array2<f64>,
}

impl Template {
    /// Reads one redrock template file (formats.md 12.4), or SDSS's spEigenGal and spEigenQSO.
    ///
    /// # Errors
    /// A file that cannot be read, or lacks the basis, its class or its wavelengths; an IGM model or a fit
    /// that is not known; values that are not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let hdu = if fits.has(BASIS) { BASIS } else { "0" };
        let header = fits.header(hdu)?;
        let invalid = |item: &str, expected: &str, found: String| Error::Invalid {
            path: path.to_path_buf(),
            hdu: hdu.to_string(),
            item: item.to_string(),
            expected: expected.to_string(),
            found,
        };
        let image = fits.image_f64(hdu)?;
        let shape = format!("{:?}", image.shape());
        let basis: Array2<f64> =
            image.into_dimensionality::<Ix2>().map_err(|_| invalid("shape", "[nbasis, nwave]", shape))?;
        if basis.nrows() == 0 || basis.ncols() < 2 {
            return Err(invalid("shape", "at least one spectrum of two pixels", format!("{:?}", basis.shape())));
        }
        if let Some(bad) = basis.iter().find(|x| !x.is_finite()) {
            return Err(invalid("values", "finite numbers", bad.to_string()));
        }

        let spectype = header.str("RRTYPE").or(header.str("OBJECT")).unwrap_or_default().to_uppercase();
        if !["GALAXY", "QSO", "STAR"].contains(&spectype.as_str()) {
            return Err(invalid("keyword RRTYPE", "GALAXY, QSO or STAR", format!("{spectype:?}")));
        }
        let version = version(&header, path);
        let igm = igm(&header, &spectype, &version)
            .map_err(|found| invalid("keyword RRIGM", "None, Calura12, Kamble20 or Inoue14", found))?;
        let method = match header.str("RRMETHOD").unwrap_or("PCA").to_uppercase().as_str() {
            "PCA" => Method::Pca,
            "NMF" => Method::Nmf,
            other => return Err(invalid("keyword RRMETHOD", "PCA or NMF", other.to_string())),
        };
        let wave = wavelengths(&header, path, hdu, basis.ncols())?;
        let redshifts = match fits.has("REDSHIFTS") {
            true => fits.vector("REDSHIFTS")?.to_vec(),
            false => default_redshifts(&spectype),
        };
        if redshifts.is_empty() || redshifts.windows(2).any(|z| z[0] >= z[1]) || redshifts[0] <= -1.0 {
            return Err(invalid("REDSHIFTS", "ascending values above -1", format!("{} values", redshifts.len())));
        }
        let coefficients = coefficients(&mut fits, basis.nrows())?;
        let subtype = header.str("RRSUBTYP").unwrap_or_default().trim().to_string();
        let source = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { spectype, subtype, version, source, wave, basis, redshifts, igm, method, coefficients })
    }

    /// Class and subclass in redrock's notation: `GALAXY`, `STAR:::G`.
    pub fn full_type(&self) -> String {
        if self.subtype.is_empty() { self.spectype.clone() } else { format!("{}:::{}", self.spectype, self.subtype) }
    }
}

/// HDU ARCHETYPE_COEFF.
fn coefficients(fits: &mut FitsReader, nbasis: usize) -> Result<Array2<f64>> {
    const HDU: &str = "ARCHETYPE_COEFF";
    let none = Array2::zeros((0, nbasis));
    if !fits.has(HDU) {
        return Ok(none);
    }
    let table = fits.image_f64(HDU)?.into_dimensionality::<Ix2>();
    Ok(table.ok().filter(|t| t.ncols() == nbasis && t.iter().all(|c| c.is_finite())).unwrap_or(none))
}

/// The template files of folders (rrtemplate-*.fits) and the files named, sorted by class; of several versions of one
/// (class, subclass) the newest.
///
/// # Errors
/// A path that does not exist, a file that [`Template::read`] refuses, or no template at all.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Template>> {
    let mut newest: BTreeMap<(String, String), Template> = BTreeMap::new();
    let read: Vec<Result<Template>> = template_files(paths)?.par_iter().map(|f| Template::read(f)).collect();
    for template in read {
        let template = template?;
        let key = (template.spectype.clone(), template.subtype.clone());
        let older = newest.get(&key).is_some_and(|t| version_number(&t.version) > version_number(&template.version));
        if !older {
            newest.insert(key, template);
        }
    }
    if newest.is_empty() {
        return Err(Error::Missing { path: paths.first().cloned().unwrap_or_default().join("rrtemplate-*.fits") });
    }
    Ok(newest.into_values().collect())
}

/// The files among `paths`, and those of redrock's name in the folders among them, in order of name.
fn template_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let fail = |source| Error::Io { path: path.clone(), action: "open", source };
        if path.is_dir() {
            let mut inside = Vec::new();
            for entry in std::fs::read_dir(path).map_err(fail)? {
                let file = entry.map_err(fail)?.path();
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with("rrtemplate-") && (name.ends_with(".fits") || name.ends_with(".fits.gz")) {
                    inside.push(file);
                }
            }
            inside.sort();
            files.extend(inside);
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Error::Missing { path: path.clone() });
        }
    }
    Ok(files)
}

/// VERSION, or for the first files, which have none, the `v0.0` of the file name.
fn version(header: &Header, path: &Path) -> String {
    let stated = match header.get("VERSION") {
        Some(Value::Str(s)) => Some(s.trim().to_string()),
        Some(Value::Float(x)) => Some(format!("{x:?}")),
        Some(Value::Int(i)) => Some(i.to_string()),
        _ => None,
    };
    stated.unwrap_or_else(|| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".fits");
        stem.rsplit_once("-v").map_or("0.0", |(_, v)| v).to_string()
    })
}

/// The numbers of a version, to be compared in order: 1.10 is newer than 1.9.
fn version_number(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// RRIGM, or what redrock's files meant before they had it; the error is what was found.
fn igm(header: &Header, spectype: &str, version: &str) -> std::result::Result<Igm, String> {
    match header.str("RRIGM").map(str::trim) {
        Some("None" | "") => Ok(Igm::None),
        Some("Calura12") => Ok(Igm::Calura12),
        Some("Kamble20") => Ok(Igm::Kamble20),
        Some("Inoue14") => Ok(Igm::Inoue14),
        Some(other) => Err(other.to_string()),
        None => match (spectype, version) {
            ("STAR", _) => Ok(Igm::None),
            // the first galaxy bases, and SDSS's, end redward of where the forest enters the spectrographs
            ("GALAXY", v) if version_number(v) < vec![2] => Ok(Igm::None),
            ("GALAXY", "2.6") | ("QSO", "0.0" | "0.1" | "1.0") => Ok(Igm::Calura12),
            ("QSO", "1.1") => Ok(Igm::Kamble20),
            _ => Err(format!("nothing, and {spectype} version {version} has no default")),
        },
    }
}

/// Wavelengths of the pixels: CRVAL1 + CDELT1 i, of log10 where LOGLAM is true; SDSS: COEFF0 + COEFF1 i.
fn wavelengths(header: &Header, path: &Path, hdu: &str, n: usize) -> Result<Vec<f64>> {
    let sdss = header.float("COEFF0").is_some() && header.float("CRVAL1").is_none();
    let (start, step) = if sdss { ("COEFF0", "COEFF1") } else { ("CRVAL1", "CDELT1") };
    let (x0, dx) = (header.require_float(path, hdu, start)?, header.require_float(path, hdu, step)?);
    let log = sdss
        || match header.get("LOGLAM") {
            Some(Value::Bool(b)) => *b,
            Some(Value::Int(i)) => *i != 0,
            Some(Value::Float(x)) => *x != 0.0,
            _ => false,
        };
    let wave: Vec<f64> = (0..n).map(|i| x0 + dx * i as f64).map(|x| if log { 10f64.powf(x) } else { x }).collect();
    if wave[0] > 0.0 && dx > 0.0 && wave[n - 1].is_finite() {
        return Ok(wave);
    }
    Err(Error::Invalid {
        path: path.to_path_buf(),
        hdu: hdu.to_string(),
        item: format!("keywords {start} and {step}"),
        expected: "positive, ascending wavelengths".to_string(),
        found: format!("{x0} and {dx}"),
    })
}

/// Redshifts to scan where the file has none (algorithms.md 11.2): steps of 3e-4 (galaxies) and 5e-4
/// (quasars) in log10(1 + z), of 4e-5 in z for stars.
pub fn default_redshifts(spectype: &str) -> Vec<f64> {
    let logarithmic = |first: f64, last: f64, step: f64| -> Vec<f64> {
        let (first, last) = (first.log10(), last.log10());
        (0..((last - first) / step).ceil() as usize).map(|i| 10f64.powf(first + step * i as f64) - 1.0).collect()
    };
    match spectype {
        "GALAXY" => logarithmic(0.995, 2.7, 3e-4),
        "QSO" => logarithmic(1.05, 7.0, 5e-4),
        _ => (0..=100).map(|i| -0.002 + 4e-5 * i as f64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_number("1.10") > version_number("1.9"));
        assert!(version_number("0.0.0.dev") < version_number("0.1"));
    }

    #[test]
    fn default_grids_are_those_of_redrock() {
        let z = default_redshifts("GALAXY");
        assert!((z[0] + 0.005).abs() < 1e-12 && z[z.len() - 1] < 1.7);
        assert_eq!((z.len(), default_redshifts("QSO").len(), default_redshifts("STAR").len()), (1446, 1648, 101));
    }
}
