//! The model of a bundle's arc image: spots of every line in every fibre.
//!
//! A parameter of the spots' shape is one polynomial over the bundle: Legendre in wavelength times Legendre in the
//! fibre's place. A fibre has series in wavelength of its own on four [axes](AXES): its trace in x and y, and what
//! its widths in x and y differ by from the bundle's.

use numerics::legendre;
use psf::{GaussHermite, Tail};
use std::ops::Range;

/// Index of the widths in the list of shape parameters; GH-i-j follow, i fastest, then [`Grid::tail`].
pub const SIGMA_X: usize = 0;
/// See [`SIGMA_X`].
pub const SIGMA_Y: usize = 1;
/// Index of GH-0-0.
pub const HERMITE: usize = 2;

/// Axes of a fibre's own series: x, y, width in x, width in y.
pub const AXES: usize = 4;
/// The first of them are the trace.
pub const TRACE_AXES: usize = 2;
/// Most terms of a width's own series.
const WIDTH_TERMS: usize = 3;

/// Polynomials' ranges and degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Wavelengths of the traces' series that map to -1 and 1, Angstrom.
    pub trace_range: (f64, f64),
    /// Terms of a trace.
    pub trace_terms: usize,
    /// Wavelengths of the shape's series that map to -1 and 1, Angstrom.
    pub shape_range: (f64, f64),
    /// Terms in wavelength of a shape parameter.
    pub wave_terms: usize,
    /// Terms across the bundle of a shape parameter.
    pub slit_terms: usize,
    /// Highest Hermite order in x and y.
    pub gh_degree: usize,
    /// Whether the spots have tails.
    pub tails: bool,
}

impl Grid {
    /// Number of shape parameters.
    pub fn shapes(&self) -> usize {
        self.tail() + usize::from(self.tails)
    }

    /// Coefficients of a shape parameter.
    pub fn basis_terms(&self) -> usize {
        self.wave_terms * self.slit_terms
    }

    /// Place of an axis among a fibre's own coefficients.
    pub fn axis(&self, axis: usize) -> Range<usize> {
        let (trace, width) = (self.trace_terms, self.wave_terms.min(WIDTH_TERMS));
        match axis {
            0 | 1 => axis * trace..(axis + 1) * trace,
            _ => 2 * trace + (axis - 2) * width..2 * trace + (axis - 1) * width,
        }
    }

    /// Number of a fibre's own coefficients.
    pub fn own_terms(&self) -> usize {
        self.axis(AXES - 1).end
    }

    /// Index of GH-i-j in the list of shape parameters.
    pub fn hermite(&self, i: usize, j: usize) -> usize {
        HERMITE + j * (self.gh_degree + 1) + i
    }

    /// Index of the tails' amplitude, the last of the shape parameters where there are tails.
    pub fn tail(&self) -> usize {
        HERMITE + (self.gh_degree + 1).pow(2)
    }
}

/// All parameters of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Ranges and degrees.
    pub grid: Grid,
    /// Fibres of the bundle.
    pub nfiber: usize,
    /// Wavelengths of the lines, Angstrom.
    pub waves: Vec<f64>,
    /// Fibres' own coefficients, `[nfiber, own_terms]`, each as [`Grid::axis`] says, pixels.
    pub own: Vec<f64>,
    /// `[shapes, basis_terms]`, wavelength fastest.
    pub shape: Vec<f64>,
    /// Electrons of each spot, `[nfiber, nline]`.
    pub flux: Vec<f64>,
    /// Spots that are part of the model, `[nfiber, nline]`.
    pub active: Vec<bool>,
    trace_basis: Vec<Vec<f64>>,
    wave_basis: Vec<Vec<f64>>,
    slit_basis: Vec<Vec<f64>>,
}

impl Model {
    /// A model with all fluxes 0, all traces 0 and unit Gaussians.
    pub fn new(grid: Grid, nfiber: usize, waves: Vec<f64>) -> Self {
        let terms = |(min, max): (f64, f64), n: usize| -> Vec<Vec<f64>> {
            waves.iter().map(|w| legendre::polynomials(legendre::reduced(*w, min, max), n)).collect()
        };
        let mut shape = vec![0.0; grid.shapes() * grid.basis_terms()];
        for parameter in [SIGMA_X, SIGMA_Y, HERMITE] {
            shape[parameter * grid.basis_terms()] = 1.0;
        }
        Self {
            trace_basis: terms(grid.trace_range, grid.trace_terms),
            wave_basis: terms(grid.shape_range, grid.wave_terms),
            slit_basis: (0..nfiber).map(|f| legendre::polynomials(place(f, nfiber), grid.slit_terms)).collect(),
            own: vec![0.0; nfiber * grid.own_terms()],
            flux: vec![0.0; nfiber * waves.len()],
            active: vec![false; nfiber * waves.len()],
            grid,
            nfiber,
            waves,
            shape,
        }
    }

    /// The same parameters at other wavelengths (Angstrom), where nothing shines.
    pub fn at(&self, waves: Vec<f64>) -> Self {
        Self { own: self.own.clone(), shape: self.shape.clone(), ..Self::new(self.grid, self.nfiber, waves) }
    }

    /// Number of lines.
    pub fn nline(&self) -> usize {
        self.waves.len()
    }

    /// Index of a spot.
    pub fn spot(&self, fiber: usize, line: usize) -> usize {
        fiber * self.nline() + line
    }

    /// Polynomials of a line for a fibre's series on an axis.
    pub fn axis_basis(&self, axis: usize, line: usize) -> &[f64] {
        let basis = if axis < TRACE_AXES { &self.trace_basis[line] } else { &self.wave_basis[line] };
        &basis[..self.grid.axis(axis).len()]
    }

    /// A fibre's own coefficients on an axis.
    pub fn series(&self, fiber: usize, axis: usize) -> &[f64] {
        let all = self.grid.own_terms();
        &self.own[fiber * all..(fiber + 1) * all][self.grid.axis(axis)]
    }

    /// Value of a fibre's own series.
    fn value(&self, fiber: usize, axis: usize, line: usize) -> f64 {
        dot(self.series(fiber, axis), self.axis_basis(axis, line))
    }

    /// Polynomials of a spot for the shape parameters, `[basis_terms]`.
    pub fn shape_basis(&self, fiber: usize, line: usize, out: &mut Vec<f64>) {
        out.clear();
        for s in &self.slit_basis[fiber] {
            out.extend(self.wave_basis[line].iter().map(|w| w * s));
        }
    }

    /// Centre of a spot, pixels.
    pub fn centre(&self, fiber: usize, line: usize) -> (f64, f64) {
        (self.value(fiber, 0, line), self.value(fiber, 1, line))
    }

    /// Shape of a spot.
    pub fn spot_shape(&self, fiber: usize, line: usize) -> GaussHermite {
        let mut basis = Vec::with_capacity(self.grid.basis_terms());
        self.shape_basis(fiber, line, &mut basis);
        let mut values = self.shape.chunks_exact(basis.len()).map(|c| dot(c, &basis));
        // widths stay in the range where the pixel integrals make sense
        let mut width = |axis| (values.next().unwrap_or(1.0) + self.value(fiber, axis, line)).clamp(0.3, 4.0);
        let sigma = (width(2), width(3));
        let degree = self.grid.gh_degree;
        let coeff = values.by_ref().take(self.grid.tail() - HERMITE).collect();
        GaussHermite { sigma, degree: (degree, degree), coeff, tail: values.next().map(Tail::neutral) }
    }

    /// Series of a shape parameter in wavelength for one fibre, `[wave_terms]`.
    pub fn fiber_series(&self, parameter: usize, fiber: usize) -> Vec<f64> {
        let (n, all) = (self.grid.wave_terms, self.grid.basis_terms());
        let coeff = &self.shape[parameter * all..(parameter + 1) * all];
        let mut series: Vec<f64> = (0..n)
            .map(|k| self.slit_basis[fiber].iter().enumerate().map(|(m, s)| s * coeff[m * n + k]).sum())
            .collect();
        if parameter < HERMITE {
            let own = self.series(fiber, TRACE_AXES + parameter);
            series.iter_mut().zip(own).for_each(|(s, o)| *s += o);
        }
        series
    }
}

/// Place of fibre `fiber` of `nfiber` across the bundle, -1 to 1.
pub fn place(fiber: usize, nfiber: usize) -> f64 {
    if nfiber > 1 { legendre::reduced(fiber as f64, 0.0, nfiber as f64 - 1.0) } else { 0.0 }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
