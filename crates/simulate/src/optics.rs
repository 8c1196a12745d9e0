//! The true PSF of a camera: where every wavelength of every fibre falls and how its spot looks.
//!
//! Traces: bundles and gaps of the slit, its image growing towards the top, its smile. Spots: Gauss-Hermite,
//! varying with wavelength and along the slit. Numbers as measured from DESI's r0 PSF (docs/simulate.md).

use crate::{
    instrument::{Arm, Instrument},
    random,
};
use datamodel::{Camera, GaussHermitePsf, Header, psf::LegendreRows};
use ndarray::Array2;
use numerics::{NumericsError, legendre};
use rand::Rng;
use std::collections::BTreeMap;

/// Legendre coefficients of a trace.
const TRACE_TERMS: usize = 7;
/// Legendre coefficients in wavelength of a spot parameter.
const SPOT_TERMS: usize = 4;
/// Highest Hermite order, and half size of a spot in x and y, of DESI's PSF files.
pub(crate) const DEGREE: usize = 6;
pub(crate) const HALF_SIZE: (usize, usize) = (8, 5);
/// Rows beyond the CCD that the traces are defined over.
const MARGIN: f64 = 10.0;
/// Significant terms of DESI's fitted r0 spots: orders in x and y, coefficient.
const HERMITE_TERMS: [(usize, usize, f64); 11] = [
    (2, 0, 0.02),
    (4, 0, 0.010),
    (6, 0, 0.006),
    (0, 1, -0.010),
    (1, 1, -0.012),
    (2, 1, -0.019),
    (0, 2, 0.031),
    (4, 2, 0.011),
    (0, 3, -0.012),
    (0, 4, 0.014),
    (2, 4, 0.014),
];
/// Relative change of a Hermite term from the middle to the ends of the arm, and of the slit.
const HERMITE_SLOPE: f64 = 0.4;
/// Relative change of the widths along the slit: linear and quadratic from its middle to its ends.
const WIDTH_SLOPE: f64 = 0.02;
const WIDTH_CURVATURE: f64 = 0.03;

/// The true PSF of a camera; it depends on the seed and the camera only, not on the night.
///
/// # Errors
/// [`NumericsError`] if the arm's wavelengths determine no trace.
pub fn true_psf(instrument: &Instrument, camera: Camera, seed: u64) -> Result<GaussHermitePsf, NumericsError> {
    let arm = instrument.arm(camera.band);
    let slit = Slit::new(instrument, arm, camera, seed);
    let range = slit.wavelength_range();
    let (x, y) = slit.traces(range)?;
    let rows = |coeff| LegendreRows { wavemin: range.0, wavemax: range.1, coeff };
    Ok(GaussHermitePsf {
        header: header(camera),
        x: rows(x),
        y: rows(y),
        wavemin: range.0,
        wavemax: range.1,
        parameters: spots(arm, &slit.positions, camera, seed),
        bundle: (0..instrument.nfiber()).map(|f| (f / instrument.fibers_per_bundle) as i32).collect(),
        status: vec![0; instrument.nfiber()],
        fibermin: 0,
        ghdeg: (DEGREE, DEGREE),
        half_size: HALF_SIZE,
        npix: (arm.ny, arm.nx),
    })
}

/// Keywords of HDU PSF.
pub(crate) fn header(camera: Camera) -> Header {
    let mut header = Header::new();
    header.set("CAMERA", camera.to_string(), "camera of the truth");
    header
}

/// The slit as the CCD sees it.
struct Slit<'a> {
    arm: &'a Arm,
    /// Position along the full slit, -1 to 1, of each fibre.
    positions: Vec<f64>,
    /// Column relative to the slit's middle, at y = 0, of each fibre.
    offsets: Vec<f64>,
}

impl<'a> Slit<'a> {
    fn new(instrument: &Instrument, arm: &'a Arm, camera: Camera, seed: u64) -> Self {
        let mut rng = random::stream(seed, "slit", &[random::camera_key(camera)]);
        let per = instrument.fibers_per_bundle as f64;
        let pitch = (per - 1.0) * arm.spacing + arm.gap;
        let middle = 0.5 * (instrument.slit_bundles as f64 * per - 1.0);
        let (mut positions, mut offsets) = (Vec::new(), Vec::new());
        for bundle in 0..instrument.bundles {
            // the bundles are glued with a tolerance of half a pixel, the fibres in them with a tenth
            let bundle_jitter = rng.random_range(-0.5..0.5);
            for fiber in 0..instrument.fibers_per_bundle {
                let (b, k) =
                    (bundle as f64 - 0.5 * (instrument.slit_bundles as f64 - 1.0), fiber as f64 - 0.5 * (per - 1.0));
                positions.push(((bundle as f64) * per + fiber as f64 - middle) / middle.max(1.0));
                offsets.push(b * pitch + k * arm.spacing + bundle_jitter + rng.random_range(-0.1..0.1));
            }
        }
        Self { arm, positions, offsets }
    }

    /// Wavelength in the slit's middle at row `y`: the quartic through the arm's five values.
    fn middle_wavelength(&self, y: f64) -> f64 {
        let t = 4.0 * y / self.arm.ny as f64;
        let lagrange =
            |i: usize| (0..5).filter(|&j| j != i).map(|j| (t - j as f64) / (i as f64 - j as f64)).product::<f64>();
        (0..5).map(|i| self.arm.wave[i] * lagrange(i)).sum()
    }

    /// Row of a wavelength in the slit's middle: [`Self::middle_wavelength`] ascends and is bisected.
    fn middle_row(&self, wave: f64) -> f64 {
        let (mut low, mut high) = (-0.2 * self.arm.ny as f64, 1.2 * self.arm.ny as f64);
        for _ in 0..60 {
            let y = 0.5 * (low + high);
            if self.middle_wavelength(y) < wave { low = y } else { high = y }
        }
        0.5 * (low + high)
    }

    /// Wavelengths that fall on the CCD anywhere along the slit, with a margin.
    fn wavelength_range(&self) -> (f64, f64) {
        (
            self.middle_wavelength(-MARGIN - self.arm.smile[0]).floor(),
            self.middle_wavelength(self.arm.ny as f64 + MARGIN).ceil(),
        )
    }

    fn row(&self, fiber: usize, wave: f64) -> f64 {
        let [blue, red] = self.arm.smile;
        let t = (wave - self.arm.wave[0]) / (self.arm.wave[4] - self.arm.wave[0]);
        self.middle_row(wave) + (blue + (red - blue) * t) * self.positions[fiber].powi(2)
    }

    fn column(&self, fiber: usize, y: f64) -> f64 {
        self.arm.centre + self.offsets[fiber] * (1.0 + self.arm.bend * (y / self.arm.ny as f64).powi(3))
    }

    /// Legendre coefficients of x and y in wavelength, `[nfiber, TRACE_TERMS]`.
    fn traces(&self, (min, max): (f64, f64)) -> Result<(Array2<f64>, Array2<f64>), NumericsError> {
        let n = 60;
        let u: Vec<f64> = (0..n).map(|i| 2.0 * (f64::from(i) + 0.5) / f64::from(n) - 1.0).collect();
        let waves: Vec<f64> = u.iter().map(|u| min + 0.5 * (u + 1.0) * (max - min)).collect();
        let mut x = Array2::zeros((self.offsets.len(), TRACE_TERMS));
        let mut y = x.clone();
        let weights = vec![1.0; u.len()];
        for fiber in 0..self.offsets.len() {
            let rows: Vec<f64> = waves.iter().map(|&w| self.row(fiber, w)).collect();
            let columns: Vec<f64> = rows.iter().map(|&row| self.column(fiber, row)).collect();
            x.row_mut(fiber)
                .iter_mut()
                .zip(legendre::fit(&u, &columns, &weights, TRACE_TERMS)?)
                .for_each(|(a, b)| *a = b);
            y.row_mut(fiber).iter_mut().zip(legendre::fit(&u, &rows, &weights, TRACE_TERMS)?).for_each(|(a, b)| *a = b);
        }
        Ok((x, y))
    }
}

/// Widths and Hermite terms of every fibre, all rows of a PSF file.
fn spots(arm: &Arm, positions: &[f64], camera: Camera, seed: u64) -> BTreeMap<String, Array2<f64>> {
    let mut rng = random::stream(seed, "spots", &[random::camera_key(camera)]);
    let mut parameters = empty_parameters(positions.len());
    for (name, legendre) in [("GHSIGX", &arm.sigma_x), ("GHSIGY", &arm.sigma_y)] {
        let slope = WIDTH_SLOPE * rng.random_range(-1.0..1.0);
        let along_slit = |q: f64| 1.0 + slope * q + WIDTH_CURVATURE * (q * q - 1.0 / 3.0);
        fill(&mut parameters, name, positions, |q| legendre.iter().map(|c| c * along_slit(q)).collect());
    }
    for (i, j, typical) in HERMITE_TERMS {
        let value = typical * rng.random_range(0.7..1.3);
        let [wave_slope, slit_slope] =
            [HERMITE_SLOPE * rng.random_range(-1.0..1.0), HERMITE_SLOPE * rng.random_range(-1.0..1.0)];
        fill(&mut parameters, &format!("GH-{i}-{j}"), positions, |q| {
            vec![value * (1.0 + slit_slope * q), value * wave_slope]
        });
    }
    parameters
}

/// Every row of a PSF file at its neutral value: a unit Gaussian without tail.
pub(crate) fn empty_parameters(nfiber: usize) -> BTreeMap<String, Array2<f64>> {
    let constant = |value: f64| {
        let mut a = Array2::zeros((nfiber, SPOT_TERMS));
        a.column_mut(0).fill(value);
        a
    };
    let named = [
        ("GHSIGX", 1.0),
        ("GHSIGY", 1.0),
        ("TAILAMP", 0.0),
        ("TAILCORE", 1.0),
        ("TAILXSCA", 1.0),
        ("TAILYSCA", 1.0),
        ("TAILINDE", 2.0),
        ("CONT", 0.0),
    ];
    let hermite = (0..=DEGREE)
        .flat_map(|j| (0..=DEGREE).map(move |i| (format!("GH-{i}-{j}"), if i + j == 0 { 1.0 } else { 0.0 })));
    named
        .map(|(name, value)| (name.to_string(), value))
        .into_iter()
        .chain(hermite)
        .map(|(name, value)| (name, constant(value)))
        .collect()
}

/// Sets the Legendre coefficients of a parameter, a function of the position along the slit.
fn fill(
    parameters: &mut BTreeMap<String, Array2<f64>>,
    name: &str,
    positions: &[f64],
    coefficients: impl Fn(f64) -> Vec<f64>,
) {
    if let Some(array) = parameters.get_mut(name) {
        for (mut row, &q) in array.rows_mut().into_iter().zip(positions) {
            row.iter_mut().zip(coefficients(q)).for_each(|(a, c)| *a = c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psf::Psf;

    #[test]
    fn traces_are_where_the_instrument_file_puts_them() {
        let instrument = Instrument::load("desi").unwrap();
        for band in datamodel::Band::ALL {
            let arm = instrument.arm(band);
            let psf = Psf::new(true_psf(&instrument, Camera::new(band, 0), 1).unwrap()).unwrap();
            let ny = arm.ny as f64;
            // the middle of the slit, between fibres 249 and 250, sees the file's wavelengths at each quarter
            for (quarter, wave) in arm.wave.iter().enumerate() {
                let y = 0.5 * (psf.y(249, *wave) + psf.y(250, *wave));
                assert!((y - ny * quarter as f64 / 4.0).abs() < 0.05, "{band} {wave}: {y}");
            }
            // the end of the slit lies higher by the smile
            assert!((psf.y(0, arm.wave[0]) - arm.smile[0]).abs() < 0.05, "{band}");
            assert!((psf.y(499, arm.wave[4]) - ny - arm.smile[1]).abs() < 0.05, "{band}");
            // bundles and gaps
            let x = |f: usize| psf.x(f, arm.wave[2]);
            for f in 0..499 {
                let (step, slack) = if f % 25 == 24 { (arm.gap, 1.3) } else { (arm.spacing, 0.25) };
                assert!((x(f + 1) - x(f) - step).abs() < slack, "{band} fibre {f}: {}", x(f + 1) - x(f));
            }
            // every fibre covers the extraction grid
            let (first, last, _) = band.extraction_grid();
            for f in 0..500 {
                assert!(
                    psf.y(f, first) > 0.0 && psf.y(f, last) < ny,
                    "{band} fibre {f}: {} {}",
                    psf.y(f, first),
                    psf.y(f, last)
                );
            }
        }
    }

    #[test]
    fn the_mini_instrument_is_the_start_of_the_slit() {
        let mini = Instrument::load("mini").unwrap();
        let desi = Instrument::load("desi").unwrap();
        for band in datamodel::Band::ALL {
            let of = |i: &Instrument| Psf::new(true_psf(i, Camera::new(band, 0), 1).unwrap()).unwrap();
            let (a, b) = (of(&mini), of(&desi));
            for f in [0, 24, 25, 49] {
                let wave = mini.arm(band).wave[2];
                assert!((a.x(f, wave) - b.x(f, wave)).abs() < 1e-9 && (a.y(f, wave) - b.y(f, wave)).abs() < 1e-9);
                assert!(a.x(f, wave) > 10.0 && a.x(f, wave) < mini.arm(band).nx as f64 - 10.0);
            }
        }
    }
}
