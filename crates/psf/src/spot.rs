//! Traces and spots of a camera's fibres.

use crate::{GaussHermite, Tail, gauss_hermite::Scratch};
use datamodel::{GaussHermitePsf, psf::LegendreRows};
use ndarray::Array2;
use numerics::legendre;

/// A PSF file whose content cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PsfError {
    /// A parameter that every spot needs is absent.
    #[error("PSF parameter {0} is missing")]
    MissingParameter(String),
    /// A width that is not positive.
    #[error("{parameter} is {value} at fibre {fiber}, {wave} Angstrom: it must be positive")]
    BadWidth {
        /// GHSIGX or GHSIGY.
        parameter: &'static str,
        /// Its value, pixels.
        value: f64,
        /// Row of the fibre.
        fiber: usize,
        /// Angstrom.
        wave: f64,
    },
}

/// The light of one wavelength of one fibre in the pixels around it; sums to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Column of the first pixel (may lie off the image).
    pub x0: i64,
    /// Row of the first pixel.
    pub y0: i64,
    /// Columns.
    pub nx: usize,
    /// Rows.
    pub ny: usize,
    /// `[ny, nx]`, row-major, none negative.
    pub values: Vec<f64>,
}

/// A [`GaussHermitePsf`] ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Psf {
    file: GaussHermitePsf,
    /// Coefficients of GHSIGX, GHSIGY, then GH-i-j (i fastest), each `[nfiber, nlegendre]`.
    rows: Vec<Array2<f64>>,
    /// TAILAMP, TAILCORE, TAILXSCA, TAILYSCA, TAILINDE where the amplitude is not all zero.
    tail: Option<[Array2<f64>; 5]>,
}

impl Psf {
    /// Prepares a PSF file.
    ///
    /// # Errors
    /// [`PsfError::MissingParameter`], and [`PsfError::BadWidth`] if a width is not positive at the ends or the
    /// middle of the wavelength range.
    pub fn new(file: GaussHermitePsf) -> Result<Self, PsfError> {
        let find = |name: &str| file.parameters.get(name).cloned();
        let need = |name: &str| find(name).ok_or_else(|| PsfError::MissingParameter(name.to_string()));
        let mut rows = vec![need("GHSIGX")?, need("GHSIGY")?];
        let zero = Array2::zeros((file.nfiber(), 1));
        for j in 0..=file.ghdeg.1 {
            for i in 0..=file.ghdeg.0 {
                let absent = if (i, j) == (0, 0) { Array2::ones((file.nfiber(), 1)) } else { zero.clone() };
                rows.push(find(&format!("GH-{i}-{j}")).unwrap_or(absent));
            }
        }
        let tail = find("TAILAMP").filter(|a| a.iter().any(|v| *v != 0.0)).map(|amplitude| {
            let or =
                |name: &str, default: f64| find(name).unwrap_or_else(|| Array2::from_elem((file.nfiber(), 1), default));
            [amplitude, or("TAILCORE", 1.0), or("TAILXSCA", 1.0), or("TAILYSCA", 1.0), or("TAILINDE", 2.0)]
        });
        let psf = Self { file, rows, tail };
        psf.check_widths()?;
        Ok(psf)
    }

    fn check_widths(&self) -> Result<(), PsfError> {
        let (a, b) = (self.file.wavemin, self.file.wavemax);
        for fiber in 0..self.nfiber() {
            for wave in [a, 0.5 * (a + b), b] {
                let u = legendre::reduced(wave, a, b);
                for (parameter, row) in [("GHSIGX", &self.rows[0]), ("GHSIGY", &self.rows[1])] {
                    let value = series(row, fiber, u);
                    if !(value > 0.0 && value.is_finite()) {
                        return Err(PsfError::BadWidth { parameter, value, fiber, wave });
                    }
                }
            }
        }
        Ok(())
    }

    /// Drops the tails, to compare with programs that do not evaluate them.
    pub fn without_tails(mut self) -> Self {
        self.tail = None;
        self
    }

    /// The file's content.
    pub fn file(&self) -> &GaussHermitePsf {
        &self.file
    }

    /// Number of fibres.
    pub fn nfiber(&self) -> usize {
        self.file.nfiber()
    }

    /// Pixel x of a fibre at a wavelength (Angstrom); the first pixel's centre is 0.
    pub fn x(&self, fiber: usize, wave: f64) -> f64 {
        trace(&self.file.x, fiber, wave)
    }

    /// Pixel y of a fibre at a wavelength (Angstrom).
    pub fn y(&self, fiber: usize, wave: f64) -> f64 {
        trace(&self.file.y, fiber, wave)
    }

    /// Wavelength (Angstrom) of a fibre at pixel `y`, by the secant method from the ends of the trace's
    /// range; outside that range it extrapolates the end's dispersion.
    pub fn wavelength(&self, fiber: usize, y: f64) -> f64 {
        let (a, b) = (self.file.y.wavemin, self.file.y.wavemax);
        let (ya, yb) = (self.y(fiber, a), self.y(fiber, b));
        let mut wave = a + (y - ya) * (b - a) / (yb - ya);
        for _ in 0..20 {
            let at = wave.clamp(a, b);
            let h = 0.5;
            let slope = (self.y(fiber, at + h) - self.y(fiber, at - h)) / (2.0 * h);
            let step = (y - self.y(fiber, at)) / slope - (wave - at);
            wave += step;
            if step.abs() < 1e-8 {
                break;
            }
        }
        wave
    }

    /// Shape of the spot of a fibre at a wavelength (Angstrom).
    pub fn shape(&self, fiber: usize, wave: f64) -> GaussHermite {
        let u = legendre::reduced(wave, self.file.wavemin, self.file.wavemax);
        // one set of polynomials for all series
        let longest = self.rows.iter().chain(self.tail.iter().flatten()).map(Array2::ncols).max();
        let polynomials = legendre::polynomials(u, longest.unwrap_or(0));
        let at = |row: &Array2<f64>| row.row(fiber).iter().zip(&polynomials).map(|(c, p)| c * p).sum();
        GaussHermite {
            sigma: (at(&self.rows[0]), at(&self.rows[1])),
            degree: self.file.ghdeg,
            coeff: self.rows[2..].iter().map(at).collect(),
            tail: self.tail.as_ref().map(|t| Tail {
                amplitude: at(&t[0]),
                core: at(&t[1]),
                xscale: at(&t[2]),
                yscale: at(&t[3]),
                index: at(&t[4]),
            }),
        }
    }

    /// First pixel `(x0, y0)` of the box of a spot centred on `(x, y)`.
    pub fn corner(&self, x: f64, y: f64) -> (i64, i64) {
        let (hx, hy) = self.file.half_size;
        ((x - hx as f64 + 0.5).floor() as i64, (y - hy as f64 + 0.5).floor() as i64)
    }

    /// The spot of a fibre at a wavelength (Angstrom): negative values are clipped and the sum is 1 over the
    /// box of `2 half_size + 1` pixels, as DESI's extractions define it.
    pub fn spot(&self, fiber: usize, wave: f64) -> Spot {
        let (nx, ny) = self.box_size();
        let mut values = vec![0.0; nx * ny];
        let (x0, y0) = self.spot_into(fiber, wave, &mut Scratch::default(), &mut values);
        Spot { x0, y0, nx, ny, values }
    }

    /// [`Psf::spot`] into `values`, `[ny, nx]`; returns its first pixel `(x0, y0)`.
    pub fn spot_into(&self, fiber: usize, wave: f64, scratch: &mut Scratch, values: &mut [f64]) -> (i64, i64) {
        let (x, y) = (self.x(fiber, wave), self.y(fiber, wave));
        let corner = self.corner(x, y);
        self.shape(fiber, wave).integrate_into((x, y), corner, self.box_size().0, scratch, values);
        values.iter_mut().for_each(|v| *v = v.max(0.0));
        let scale = 1.0 / total(values);
        values.iter_mut().for_each(|v| *v *= scale);
        corner
    }

    /// Columns and rows of the box of a spot.
    pub fn box_size(&self) -> (usize, usize) {
        let (hx, hy) = self.file.half_size;
        (2 * hx + 1, 2 * hy + 1)
    }
}

/// The sum, in eight partial sums.
fn total(values: &[f64]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(s, v)| *s += v);
    }
    sums.iter().chain(rest).sum()
}

fn series(row: &Array2<f64>, fiber: usize, u: f64) -> f64 {
    let coeff = row.row(fiber);
    coeff.as_slice().map_or_else(|| legendre::evaluate(&coeff.to_vec(), u), |c| legendre::evaluate(c, u))
}

fn trace(rows: &LegendreRows, fiber: usize, wave: f64) -> f64 {
    series(&rows.coeff, fiber, legendre::reduced(wave, rows.wavemin, rows.wavemax))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    fn sample() -> GaussHermitePsf {
        let rows = |c: Array2<f64>| LegendreRows { wavemin: 5000.0, wavemax: 6000.0, coeff: c };
        let parameters = [
            ("GHSIGX", arr2(&[[1.0, 0.1], [1.0, 0.1]])),
            ("GHSIGY", arr2(&[[1.1, 0.0], [1.1, 0.0]])),
            ("GH-0-0", arr2(&[[1.0, 0.0], [1.0, 0.0]])),
            ("GH-2-0", arr2(&[[0.02, 0.0], [0.02, 0.0]])),
        ];
        GaussHermitePsf {
            header: Default::default(),
            x: rows(arr2(&[[30.0, 1.0, 0.0], [37.0, 1.0, 0.0]])),
            y: rows(arr2(&[[1000.0, 900.0, 10.0], [1000.0, 900.0, 10.0]])),
            wavemin: 5000.0,
            wavemax: 6000.0,
            parameters: parameters.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
            bundle: vec![0; 2],
            status: vec![0; 2],
            fibermin: 0,
            ghdeg: (2, 2),
            half_size: (8, 5),
            npix: (2000, 100),
        }
    }

    #[test]
    fn a_spot_sums_to_one_and_sits_on_its_trace() {
        let psf = Psf::new(sample()).unwrap();
        let spot = psf.spot(1, 5432.1);
        let sum: f64 = spot.values.iter().sum();
        let mx: f64 = (0..spot.values.len()).map(|p| spot.values[p] * (spot.x0 + (p % spot.nx) as i64) as f64).sum();
        assert!((sum - 1.0).abs() < 1e-14);
        assert!((mx - psf.x(1, 5432.1)).abs() < 1e-3);
    }

    #[test]
    fn wavelength_inverts_the_trace() {
        let psf = Psf::new(sample()).unwrap();
        for wave in [5000.0, 5123.4, 5999.0] {
            assert!((psf.wavelength(0, psf.y(0, wave)) - wave).abs() < 1e-6);
        }
    }

    #[test]
    fn absent_and_bad_parameters_are_named() {
        let mut file = sample();
        file.parameters.remove("GHSIGY");
        assert_eq!(Psf::new(file).unwrap_err(), PsfError::MissingParameter("GHSIGY".into()));
        let mut file = sample();
        file.parameters.insert("GHSIGX".into(), arr2(&[[1.0, 0.0], [-1.0, 0.0]]));
        assert!(matches!(Psf::new(file).unwrap_err(), PsfError::BadWidth { fiber: 1, .. }));
    }
}
