//! A small camera whose PSF resembles a real one, and images of it.
#![allow(dead_code, clippy::unwrap_used)]

pub mod dense;

use datamodel::{GaussHermitePsf, Header, psf::LegendreRows};
use extract::{Grid, Params, Pixels};
use ndarray::Array2;
use psf::Psf;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use std::ops::Range;

/// First and last wavelength of the small camera's PSF, Angstrom.
pub const RANGE: (f64, f64) = (5900.0, 6100.0);

/// `nfiber` fibres 7.3 pixels apart, 1.75 pixels per Angstrom, sigmas of 1.05 to 1.15 pixels, with skewness,
/// kurtosis and a faint tail, on an image of 360 rows.
pub fn small_file(nfiber: usize) -> GaussHermitePsf {
    let rows = |wavemin, wavemax, value: &dyn Fn(usize) -> [f64; 3]| LegendreRows {
        wavemin,
        wavemax,
        coeff: Array2::from_shape_fn((nfiber, 3), |(f, k)| value(f)[k]),
    };
    let parameters = [
        ("GHSIGX", [1.05, 0.04, 0.01]),
        ("GHSIGY", [1.12, 0.06, 0.02]),
        ("GH-0-0", [1.0, 0.0, 0.0]),
        ("GH-1-0", [-0.013, -0.009, 0.0]),
        ("GH-0-1", [0.003, 0.019, 0.0]),
        ("GH-2-0", [0.007, -0.002, 0.0]),
        ("GH-0-3", [0.01, 0.005, 0.0]),
        ("GH-4-0", [0.02, 0.0, 0.0]),
        ("GH-0-4", [0.015, 0.0, 0.0]),
        ("GH-2-2", [-0.004, 0.0, 0.0]),
        ("TAILAMP", [0.004, 0.0, 0.0]),
        ("TAILCORE", [1.0, 0.0, 0.0]),
        ("TAILXSCA", [1.0, 0.0, 0.0]),
        ("TAILYSCA", [1.0, 0.0, 0.0]),
        ("TAILINDE", [2.0, 0.0, 0.0]),
    ];
    let coeff = |c: [f64; 3]| Array2::from_shape_fn((nfiber, 3), |(_, k)| c[k]);
    let mut header = Header::new();
    header.set("CAMERA", "r0", "");
    GaussHermitePsf {
        header,
        x: rows(RANGE.0, RANGE.1, &|f| [12.2 + 7.3 * f as f64, -0.8, 0.3]),
        y: rows(RANGE.0, RANGE.1, &|f| [180.0 + 0.3 * f as f64, 175.0, 2.0]),
        wavemin: RANGE.0,
        wavemax: RANGE.1,
        parameters: parameters.into_iter().map(|(name, c)| (name.to_string(), coeff(c))).collect(),
        bundle: vec![0; nfiber],
        status: vec![0; nfiber],
        fibermin: 0,
        ghdeg: (4, 4),
        half_size: (8, 5),
        npix: (360, 24 + 73 * nfiber / 10),
    }
}

/// The small camera's PSF.
pub fn small_psf(nfiber: usize) -> Psf {
    Psf::new(small_file(nfiber)).unwrap()
}

/// A spectrum with lines, electrons per bin, different for each fibre.
pub fn spectrum(fiber: usize, wave: f64) -> f64 {
    let line = |at: f64, flux: f64| if (wave - at).abs() < 0.4 { flux } else { 0.0 };
    60.0 + 20.0 * fiber as f64 + 10.0 * (wave / 7.0).sin() + line(5977.6, 20_000.0) + line(6008.8, 3000.0)
}

/// Expected electrons of each pixel for [`spectrum`] at the wavelengths of `grid`.
pub fn expectation(psf: &Psf, grid: &Grid) -> Array2<f64> {
    let mut image = Array2::zeros(psf.file().npix);
    for fiber in 0..psf.nfiber() {
        for i in 0..grid.n {
            add_spot(&mut image, psf, fiber, grid.wave(i), spectrum(fiber, grid.wave(i)));
        }
    }
    image
}

fn add_spot(image: &mut Array2<f64>, psf: &Psf, fiber: usize, wave: f64, flux: f64) {
    let spot = psf.spot(fiber, wave);
    for (k, v) in spot.values.iter().enumerate() {
        let (y, x) = (spot.y0 + (k / spot.nx) as i64, spot.x0 + (k % spot.nx) as i64);
        let at = usize::try_from(y).ok().zip(usize::try_from(x).ok());
        if let Some(pixel) = at.and_then(|at| image.get_mut(at)) {
            *pixel += flux * v;
        }
    }
}

/// Read noise of 3 electrons plus Poisson noise, drawn as Gaussian; weights are those of the expectation.
pub fn observe(expected: &Array2<f64>, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let variance = expected.mapv(|m| m + 9.0);
    let normal = Normal::new(0.0, 1.0).unwrap();
    let image = Array2::from_shape_fn(expected.dim(), |at| {
        (expected[at] + variance[at].sqrt() * normal.sample(&mut rng)) as f32
    });
    (image, variance.mapv(|v| (1.0 / v) as f32))
}

/// Every pixel good.
pub fn no_mask(image: &Array2<f32>) -> Array2<u32> {
    Array2::zeros(image.dim())
}

/// Defaults for some fibres of the small camera on a grid of 0.8 Angstrom.
pub fn params(fibers: Range<usize>, first: f64, last: f64) -> Params {
    Params {
        grid: Grid::new(first, last, 0.8).unwrap(),
        fibers,
        bundlesize: 25,
        nsubbundles: 1,
        regularize: 0.0,
        decorrelation: extract::Decorrelation::Signal,
        psf_error: 0.01,
        model: true,
    }
}

/// An image of the small camera that covers its whole range with light.
pub fn exposure(psf: &Psf, seed: u64) -> Pixels {
    let expected = expectation(psf, &Grid::new(RANGE.0, RANGE.1, 0.8).unwrap());
    let (image, weight) = observe(&expected, seed);
    let mask = no_mask(&image);
    Pixels::new(image, weight, &mask)
}
