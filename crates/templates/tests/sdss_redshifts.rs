//! The built-in templates find the redshifts of real spectra: those of eBOSS galaxies and quasars that the
//! survey's own pipeline is sure of.

#![allow(clippy::unwrap_used)]

mod common;

use datamodel::fits::FitsReader;
use numerics::LIGHT_KMS;
use numerics::{SymmetricBand, resample};
use std::path::Path;
use templates::{Template, builtin};

/// Step of the common grid in log10(wavelength).
const STEP: f64 = 2e-4;
/// log10 of the edge of pixel 0.
const START: f64 = 2.5;

/// A spectrum on the common grid from pixel `first` on.
struct Target {
    name: String,
    class: String,
    z: f64,
    first: usize,
    weight: Vec<f64>,
    weighted_flux: Vec<f64>,
    chi2: f64,
}

/// A template on the common grid at rest.
struct Scan {
    name: String,
    first: usize,
    vectors: Vec<Vec<f64>>,
    /// Shifts to try; quasars have broad lines and need only every second one.
    shifts: Vec<isize>,
}

fn log_centres(first: usize, n: usize) -> Vec<f64> {
    (first..first + n).map(|i| 10f64.powf(START + STEP * (i as f64 + 0.5))).collect()
}

fn pixel(wave: f64) -> f64 {
    (wave.log10() - START) / STEP
}

impl Scan {
    fn new(template: &Template) -> Self {
        let (wave, z) = (&template.wave, &template.redshifts);
        let first = pixel(wave[0]).ceil() as usize + 1;
        let last = pixel(wave[wave.len() - 1]).floor() as usize - 1;
        let grid = log_centres(first, last - first);
        let vectors =
            template.basis.rows().into_iter().map(|row| resample::rebin(&grid, wave, &row.to_vec())).collect();
        let shift = |z: f64| (1.0 + z).log10() / STEP;
        let every = if template.spectype == "QSO" { 2 } else { 1 };
        let shifts = (shift(z[0]).round() as isize..=shift(z[z.len() - 1]).round() as isize).step_by(every).collect();
        Self { name: template.spectype.clone(), first, vectors, shifts }
    }

    /// Smallest chi2 over all redshifts, and its redshift.
    fn best(&self, target: &Target) -> (f64, f64) {
        let n = self.vectors.len();
        let mut best = (f64::INFINITY, 0.0);
        for &shift in &self.shifts {
            // the part of the data that the shifted template covers
            let offset = target.first as isize - self.first as isize - shift;
            let from = (-offset).max(0) as usize;
            let to = (self.vectors[0].len() as isize - offset).clamp(0, target.weight.len() as isize) as usize;
            if to < from + 100 {
                continue;
            }
            let at = (from as isize + offset) as usize;
            let rows: Vec<&[f64]> = self.vectors.iter().map(|v| &v[at..at + to - from]).collect();
            let (w, wf) = (&target.weight[from..to], &target.weighted_flux[from..to]);
            let (mut normal, mut rhs) = (SymmetricBand::zeros(n, n - 1), vec![0.0; n]);
            let mut weighted = vec![0.0; to - from];
            for i in 0..n {
                weighted.iter_mut().zip(rows[i].iter().zip(w)).for_each(|(o, (a, b))| *o = a * b);
                for (j, row) in rows[..=i].iter().enumerate() {
                    normal.add(i, j, dot(&weighted, row));
                }
                rhs[i] = dot(rows[i], wf);
                normal.add(i, i, 1e-9);
            }
            let Ok(factor) = normal.cholesky() else { continue };
            let chi2 = target.chi2 - dot(&factor.solve(&rhs), &rhs);
            if chi2 < best.0 {
                best = (chi2, 10f64.powf(STEP * shift as f64) - 1.0);
            }
        }
        best
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, ra) = a.as_chunks::<8>();
    let (b8, rb) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (x, y) in a8.iter().zip(b8) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    lanes.iter().sum::<f64>() + ra.iter().zip(rb).map(|(x, y)| x * y).sum::<f64>()
}

/// A spec- file of SDSS, its bins summed with their weights onto the common grid.
fn read(path: &Path, class: &str, z: f64) -> Target {
    let mut fits = FitsReader::open(path).unwrap();
    let table = fits.table("1").unwrap();
    let column = |name: &str| table.floats(name).unwrap();
    let (flux, loglam, ivar) = (column("FLUX"), column("LOGLAM"), column("IVAR"));
    let bin = |l: f64| ((l - START) / STEP).floor() as usize;
    let first = bin(loglam[0]);
    let n = bin(loglam[loglam.len() - 1]) - first + 1;
    let (mut weight, mut weighted_flux, mut chi2) = (vec![0.0; n], vec![0.0; n], 0.0);
    for ((f, l), w) in flux.iter().zip(&loglam).zip(&ivar) {
        let wave = 10f64.powf(*l);
        if !(3601.0..9925.0).contains(&wave) || (5572.0..5582.0).contains(&wave) || f * w.sqrt() < -5.0 {
            continue;
        }
        let i = bin(*l) - first;
        weight[i] += w;
        weighted_flux[i] += w * f;
    }
    for (w, wf) in weight.iter().zip(&weighted_flux).filter(|(w, _)| **w > 0.0) {
        chi2 += wf * wf / w;
    }
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Target { name, class: class.to_string(), z, first, weight, weighted_flux, chi2 }
}

/// The targets of truth.csv that are galaxies, quasars or stars with ZWARNING 0.
fn targets(folder: &Path) -> Vec<Target> {
    let text = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let (file, class, z, warning) = (column("file"), column("class"), column("z"), column("zwarning"));
    lines
        .map(|l| l.split(',').collect::<Vec<&str>>())
        .filter(|c| c[file].starts_with("sdss/") && c[warning] == "0")
        .map(|c| read(&folder.join(c[file]), c[class], c[z].parse().unwrap()))
        .collect()
}

/// (chi2, class, z) of the best fit.
fn fit(scans: &[Scan], target: &Target) -> (f64, String, f64) {
    scans
        .iter()
        .map(|s| {
            let (chi2, z) = s.best(target);
            (chi2, s.name.clone(), z)
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

#[test]
fn redshifts_of_real_galaxies_and_quasars() {
    let Some(folder) = common::shared("spectra") else { return };
    let targets = targets(&folder);
    let templates = match std::env::var("TEMPLATES") {
        Ok(files) => templates::load(&[files.into()]).unwrap(),
        Err(_) => builtin(),
    };
    let scans: Vec<Scan> = templates.iter().map(Scan::new).collect();
    let half = targets.len() / 2;
    let answers: Vec<(f64, String, f64)> = std::thread::scope(|scope| {
        let scans = &scans;
        let other = scope.spawn(|| targets[half..].iter().map(|t| fit(scans, t)).collect::<Vec<_>>());
        let mut answers: Vec<_> = targets[..half].iter().map(|t| fit(scans, t)).collect();
        answers.extend(other.join().unwrap());
        answers
    });

    let (mut n, mut right) = (0, 0);
    for class in ["GALAXY", "QSO", "STAR"] {
        let limit = if class == "QSO" { 3000.0 } else { 1000.0 };
        let (mut of, mut ok, mut same) = (0, 0, 0);
        for (t, (chi2, found, z)) in targets.iter().zip(&answers).filter(|(t, _)| t.class == class) {
            let good = ((z - t.z) / (1.0 + t.z) * LIGHT_KMS).abs() < limit;
            let bins = t.weight.iter().filter(|w| **w > 0.0).count();
            if !good || found != class {
                println!("{} {class} {:.4}: {found} {z:.4} chi2/bins {:.2}", t.name, t.z, chi2 / bins as f64);
            }
            of += 1;
            ok += usize::from(good);
            same += usize::from(good && found == class);
        }
        println!("{class}: {ok} of {of} redshifts right, {same} with the class");
        if class != "STAR" {
            n += of;
            right += ok;
        }
    }
    // redrock's own templates get 110 of these 116 right in this scan, ours 114 when they were made
    assert!(n > 100 && right * 10 >= n * 9, "{right} of {n}");
}
