//! Targets of known class, redshift and magnitude, as three arms with a Gaussian resolution show them.

use datamodel::{Band, BandSpectra, ColumnData, Fibermap, Header, Spectra, Table};
use ndarray::{Array2, Array3, s};
use numerics::Resolution;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, f64::consts::TAU, sync::Arc};
use templates::{
    Igm,
    filters::DECAM_R,
    models::{Kind, Library, ModelSpectrum},
};
use zfind::{
    observe::{observe, transmission},
    spectrum::{Channel, Grid},
};

/// Arms: band, first bin, number of bins of 0.8 Angstrom, rms width of the resolution (DESI's, Angstrom).
const ARMS: [(Band, f64, usize, f64); 3] =
    [(Band::B, 3600.0, 2751, 0.73), (Band::R, 5760.0, 2326, 0.70), (Band::Z, 7520.0, 2881, 0.76)];
const BIN: f64 = 0.8;
const DIAGONALS: usize = 11;

/// r magnitudes.
const MAGNITUDES: std::ops::Range<f64> = 18.0..23.5;

/// What a target is.
pub struct Truth {
    /// TARGETID.
    pub id: i64,
    /// GALAXY, QSO or STAR.
    pub spectype: String,
    /// Redshift.
    pub z: f64,
    /// r magnitude (AB).
    pub r: f64,
}

/// `n` targets of a library: equal numbers of five kinds, magnitudes evenly spread.
pub fn simulate(library: &Library, n: usize, seed: u64) -> (Spectra, Vec<Truth>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let planes = ARMS.map(|(_, _, nbin, sigma)| resolution(nbin, sigma));
    let grids =
        ARMS.map(|(_, first, nbin, _)| Arc::new(Grid::new((0..nbin).map(|i| first + BIN * i as f64).collect())));
    let mut flux = ARMS.map(|a| Array2::zeros((n, a.2)));
    let mut ivar = ARMS.map(|a| Array2::zeros((n, a.2)));
    let mut truth = Vec::new();
    for t in 0..n {
        let kind = [Kind::Bgs, Kind::Lrg, Kind::Elg, Kind::Qso, Kind::Star][t % 5];
        let mut model = library.draw(kind, &mut || rng.random());
        let z = redshift(kind, model.redshifts(), rng.random());
        let r = rng.random_range(MAGNITUDES);
        let scale = scale(&model, z, r);
        model.flux.iter_mut().for_each(|f| *f *= scale);
        let igm = if kind == Kind::Qso { Igm::Kamble20 } else { Igm::None };
        for (arm, grid) in grids.iter().enumerate() {
            let nbin = grid.wave.len();
            let channel = Channel {
                grid: grid.clone(),
                flux: vec![0.0; nbin],
                ivar: vec![0.0; nbin],
                resolution: Resolution::from_dia(planes[arm].view()),
            };
            let seen = observe(&channel, &model.wave, &model.flux, z, &transmission(grid, igm, z));
            for (i, (m, &wave)) in seen.iter().zip(&grid.wave).enumerate() {
                let variance = variance(wave, *m);
                flux[arm][(t, i)] = (m + variance.sqrt() * normal(&mut rng)) as f32;
                ivar[arm][(t, i)] = (1.0 / variance) as f32;
            }
        }
        truth.push(Truth { id: 1000 + t as i64, spectype: model.spectype, z, r });
    }
    let mut bands = BTreeMap::new();
    for (((arm, grid), plane), (flux, ivar)) in ARMS.iter().zip(&grids).zip(&planes).zip(flux.into_iter().zip(ivar)) {
        let mut resolution = Array3::zeros((n, DIAGONALS, arm.2));
        (0..n).for_each(|t| resolution.slice_mut(s![t, .., ..]).assign(plane));
        bands.insert(
            arm.0,
            BandSpectra { wave: grid.wave.clone(), mask: Array2::zeros(flux.dim()), flux, ivar, resolution },
        );
    }
    let fibermap = Fibermap { header: Header::new(), table: table(&truth) };
    // redrock insists on this HDU
    let mut scores = Table::new();
    scores.set("TARGETID", "", ColumnData::I64(truth.iter().map(|t| t.id).collect()));
    (Spectra { header: Header::new(), fibermap, exp_fibermap: None, bands, scores: Some(scores) }, truth)
}

/// Redshifts of a kind as far as the model covers the arms.
fn redshift(kind: Kind, covered: (f64, f64), uniform: f64) -> f64 {
    let (low, high): (f64, f64) = match kind {
        Kind::Bgs => (0.03, 0.5),
        Kind::Lrg => (0.3, 1.0),
        Kind::Elg => (0.6, 1.5),
        Kind::Qso => (0.4, 3.6),
        Kind::Star | Kind::Standard => return 1e-3 * (2.0 * uniform - 1.0),
    };
    let (low, high) = (low.max(covered.0 + 0.01), high.min(covered.1 - 0.01));
    low + (high - low).max(0.0) * uniform
}

/// The factor that gives a model at redshift `z` an r magnitude.
fn scale(model: &ModelSpectrum, z: f64, r: f64) -> f64 {
    let wave: Vec<f64> = model.wave.iter().map(|w| w * (1.0 + z)).collect();
    let now = DECAM_R.ab_magnitude(&wave, &model.flux).unwrap_or(r);
    10f64.powf(0.4 * (now - r))
}

/// Variance of a bin, (1e-17 erg/s/cm2/Angstrom)^2, like DESI's in 1000 s: the sky, brighter and with lines in the red,
/// read noise over a throughput that falls in the blue, and the target's own light.
fn variance(wave: f64, flux: f64) -> f64 {
    let blue = 2.2 * (-(wave - 3600.0) / 250.0).exp();
    let airglow = if wave > 7200.0 { 1.2 * (wave / 17.0).sin().max(0.0).powi(8) } else { 0.0 };
    (0.42 + blue + airglow).powi(2) + 0.03 * flux.max(0.0)
}

/// Box & Muller 1958.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

/// Diagonals of a matrix whose rows are Gaussians of `sigma` Angstrom, as DESI's files have them.
fn resolution(nbin: usize, sigma: f64) -> Array2<f32> {
    let half = (DIAGONALS / 2) as f64;
    let row: Vec<f64> = (0..DIAGONALS).map(|k| (-0.5 * ((k as f64 - half) * BIN / sigma).powi(2)).exp()).collect();
    let sum: f64 = row.iter().sum();
    Array2::from_shape_fn((DIAGONALS, nbin), |(k, _)| (row[k] / sum) as f32)
}

fn table(truth: &[Truth]) -> Table {
    let n = truth.len();
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(truth.iter().map(|t| t.id).collect()));
    table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: vec!["TGT".into(); n] });
    table.set("FIBER", "", ColumnData::I32((0..n as i32).map(|i| i % 5000).collect()));
    table.set("FIBERSTATUS", "", ColumnData::I32(vec![0; n]));
    table.set("NIGHT", "", ColumnData::I32(vec![20260101; n]));
    table.set("EXPID", "", ColumnData::I32(vec![1; n]));
    table.set("TILEID", "", ColumnData::I32(vec![1; n]));
    table.set("TARGET_RA", "deg", ColumnData::F64(vec![0.0; n]));
    table.set("TARGET_DEC", "deg", ColumnData::F64(vec![0.0; n]));
    table
}
