//! Data of the shared folder; absent where it is absent.
#![allow(dead_code)]

pub mod synthetic;

use rayon::prelude::*;
use std::path::{Path, PathBuf};
use zfind::{
    finder::{Answer, Finder},
    input::Inputs,
};

/// A path in the shared folder's `data`, `None` (and a word about it) where it does not exist.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SPECMILL_SHARED").map_or_else(
        || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).to_path_buf(),
        PathBuf::from,
    );
    let path = root.join("data").join(path);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// Redrock's templates.
pub fn redrock_templates() -> Option<Vec<templates::Template>> {
    Some(templates::load(&[shared("templates/redrock")?]).unwrap())
}

/// Fits all targets of some files.
pub fn fit(files: &[PathBuf], templates: Vec<templates::Template>) -> (Inputs, Finder, Vec<Answer>) {
    let inputs = Inputs::read(files, &[]).unwrap();
    let finder = Finder::new(templates, inputs.range(), 3, false);
    let answers = inputs.targets.par_iter().map(|t| finder.run(inputs.target(t), None)).collect();
    (inputs, finder, answers)
}

/// The SDSS spectra with a trustworthy class and redshift (ZWARNING 0, no sky): file, class, redshift.
pub fn sdss_truth() -> Option<Vec<(PathBuf, String, f64)>> {
    let text = std::fs::read_to_string(shared("spectra/truth.csv")?).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| {
        let c: Vec<&str> = line.split(',').collect();
        let trusted = c[2] == "SDSS/BOSS" && c[10] == "0" && c[13] != "SKY";
        trusted.then(|| (shared(&format!("spectra/{}", c[0])).unwrap(), c[6].to_string(), c[8].parse().unwrap()))
    });
    Some(rows.collect())
}

/// Whether an answer has the right class and redshift: 1000 km/s, quasars 3000 km/s.
pub fn is_right(answer: &Answer, class: &str, z: f64) -> bool {
    let Some(best) = answer.ranked.first().map(|r| &r.minimum) else { return false };
    let limit = if class == "QSO" { 3000.0 } else { 1000.0 };
    best.spectype == class && zfind::minima::velocity(best.z, z).abs() < limit
}
