//! Simulated targets that the redshift finder has not seen the templates of.
//!
//!     cargo run --release --example mock -- spectra OUT.fits N [FOLDER]    N targets of the built-in set or of
//!                                                                          redrock's templates in FOLDER
//!     cargo run --release --example mock -- basis OUT.fits NVECTOR [FOLDER]  the galaxy basis with more vectors, for timing
//!     cargo run --release --example mock -- figure OUT.svg N FOLDER        purity and completeness: targets of each
//!                                                                          set fitted with the other

mod figure;
mod targets;

use datamodel::{Header, Value, fits::FitsWriter};
use ndarray::Array2;
use std::{error::Error, path::Path};
use templates::{Template, models::Library};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, out, number, folder @ ..] = arguments.as_slice() else {
        return Err("spectra|basis|figure OUT NUMBER [FOLDER]".into());
    };
    let (out, number, folder) = (Path::new(out), number.parse()?, folder.first().map(Path::new));
    match (task.as_str(), folder) {
        ("spectra", _) => Ok(targets::simulate(&library(folder)?, number, 1).0.write(out)?),
        ("basis", _) => extend(&set(folder)?, number, out),
        ("figure", Some(folder)) => figure::draw(folder, number, out),
        _ => Err("what?".into()),
    }
}

/// Where targets are drawn from.
fn library(folder: Option<&Path>) -> datamodel::Result<Library> {
    folder.map_or(Ok(Library::builtin()), Library::from_folder)
}

/// The templates that are fitted.
fn set(folder: Option<&Path>) -> datamodel::Result<Vec<Template>> {
    folder.map_or(Ok(templates::builtin()), |f| templates::load(&[f.to_path_buf()]))
}

/// Writes a set's galaxy basis with further vectors: the first one times waves of ln wavelength.
fn extend(set: &[Template], n: usize, out: &Path) -> Result<(), Box<dyn Error>> {
    let galaxy = set.iter().find(|t| t.spectype == "GALAXY").ok_or("the set has no galaxies")?;
    let (old, wave) = (&galaxy.basis, &galaxy.wave);
    let range = (wave[wave.len() - 1] / wave[0]).ln();
    let value = |(v, i): (usize, usize)| match v.checked_sub(old.nrows()) {
        None => old[(v, i)],
        Some(k) => old[(0, i)] * (std::f64::consts::PI * (k + 1) as f64 * (wave[i] / wave[0]).ln() / range).cos(),
    };
    let basis = Array2::from_shape_fn((n, wave.len()), value);
    let linear = ((wave[2] - wave[1]) / (wave[1] - wave[0]) - 1.0).abs() < 1e-9;
    let (first, second) = if linear { (wave[0], wave[1]) } else { (wave[0].log10(), wave[1].log10()) };
    let mut header = Header::new();
    header.set("RRTYPE", Value::Str("GALAXY".into()), "");
    header.set("RRSUBTYP", Value::Str(String::new()), "");
    header.set("RRIGM", Value::Str("None".into()), "");
    header.set("VERSION", Value::Str("99.0".into()), "made for timing");
    header.set("CRVAL1", Value::Float(first), "");
    header.set("CDELT1", Value::Float(second - first), "");
    header.set("LOGLAM", Value::Bool(!linear), "");
    let mut fits = FitsWriter::create(out)?;
    fits.image("BASIS_VECTORS", basis.view(), &header)?;
    Ok(fits.finish()?)
}
