//! One Gauss-Newton step for a bundle.
//!
//! Unknowns are of two kinds: a fibre's own (the fluxes of its spots, its trace and widths) and the shared ones (shape of
//! the spots). A fibre's own unknowns touch only its own pixels, so each fibre's block is eliminated by itself
//! (Schur complement) and only the shared unknowns are solved together. Spots of neighbouring fibres overlap in
//! their wings; that is exact in the residuals, hence in the solution, and left out of the curvature only.

use crate::model::{HERMITE, Model, SIGMA_X, SIGMA_Y, TRACE_AXES};
use crate::patch::{Patch, Window};
use numerics::{BandedCholesky, NumericsError, SymmetricBand, banded::dot};
use psf::derivatives::{self, Derivatives};

/// What a step may change besides the fluxes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Free {
    /// How many of the fibres' axes: none, the two of the trace, or all four.
    pub axes: usize,
    /// Shape parameters, indices as in [`crate::model`].
    pub shape: Vec<usize>,
}

/// Weak knowledge that keeps what the data do not determine: Gaussian, independent.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Fibres' own coefficients, as in [`Model`].
    pub own: Vec<f64>,
    /// Sigma of each of the own terms of a fibre, pixels.
    pub own_sigma: Vec<f64>,
    /// Shape coefficients, as in [`Model`].
    pub shape: Vec<f64>,
    /// Their sigmas.
    pub shape_sigma: Vec<f64>,
}

/// A change of the parameters, arrays as in [`Model`].
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Fibres' own coefficients.
    pub own: Vec<f64>,
    /// Shape.
    pub shape: Vec<f64>,
    /// Fluxes.
    pub flux: Vec<f64>,
}

/// The data of a step: pixels, their inverse variances, and the half size of a spot's box.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Pixels.
    pub patch: &'a Patch,
    /// Inverse variances, 0 for pixels that are not fitted.
    pub weight: &'a [f64],
    /// Half size of a spot's box in x and y.
    pub half: (usize, usize),
}

/// chi2 of the pixels plus that of the prior.
pub fn objective(data: &Data, model: &Model, prior: &Prior) -> f64 {
    let image = data.patch.render(model, data.half);
    let pixels = image.iter().zip(&data.patch.data).zip(data.weight);
    let chi2: f64 = pixels.map(|((m, d), w)| w * (d - m).powi(2)).sum();
    let pull = |now: &[f64], then: &[f64], sigma: &[f64]| -> f64 {
        let sigma = sigma.iter().cycle();
        now.iter().zip(then).zip(sigma).map(|((a, b), s)| ((a - b) / s).powi(2)).sum()
    };
    chi2 + pull(&model.own, &prior.own, &prior.own_sigma) + pull(&model.shape, &prior.shape, &prior.shape_sigma)
}

/// The Gauss-Newton step of all active spots.
///
/// # Errors
/// [`NumericsError`] if the equations are singular.
pub fn step(data: &Data, model: &Model, free: &Free, prior: &Prior) -> Result<Step, NumericsError> {
    let mut residual = data.patch.render(model, data.half);
    residual.iter_mut().zip(&data.patch.data).for_each(|(r, d)| *r = d - *r);
    let mut shared = Shared::new(model, free, prior);
    let mut blocks = Vec::with_capacity(model.nfiber);
    for fiber in 0..model.nfiber {
        let block = Block::assemble(data, model, free, prior, &residual, fiber, &mut shared);
        blocks.push(block.eliminate(&mut shared)?);
    }
    let change = if shared.rhs.is_empty() { Vec::new() } else { shared.normal.cholesky()?.solve(&shared.rhs) };
    let mut step = Step {
        own: vec![0.0; model.own.len()],
        shape: vec![0.0; model.shape.len()],
        flux: vec![0.0; model.flux.len()],
    };
    let terms = model.grid.basis_terms();
    for (k, parameter) in free.shape.iter().enumerate() {
        step.shape[parameter * terms..(parameter + 1) * terms].copy_from_slice(&change[k * terms..(k + 1) * terms]);
    }
    for (fiber, block) in blocks.iter().enumerate() {
        block.back_substitute(&change, model, fiber, &mut step);
    }
    Ok(step)
}

/// Equations of the shared unknowns: `free.shape` times basis terms.
struct Shared {
    normal: SymmetricBand,
    rhs: Vec<f64>,
}

impl Shared {
    fn new(model: &Model, free: &Free, prior: &Prior) -> Self {
        let terms = model.grid.basis_terms();
        let n = free.shape.len() * terms;
        let mut normal = SymmetricBand::zeros(n, n);
        let mut rhs = vec![0.0; n];
        for (k, parameter) in free.shape.iter().enumerate() {
            for a in 0..terms {
                let at = parameter * terms + a;
                let weight = prior.shape_sigma[at].powi(-2);
                normal.add(k * terms + a, k * terms + a, weight);
                rhs[k * terms + a] = weight * (prior.shape[at] - model.shape[at]);
            }
        }
        Self { normal, rhs }
    }

    /// Adds the Gram matrix of a spot's shape derivatives (`gram[p][q]` at `offset` in its rows) times the basis.
    fn add(&mut self, gram: &Gram, offset: usize, basis: &[f64]) {
        let terms = basis.len();
        let last = self.rhs.len().saturating_sub(1);
        for p in 0..gram.n - offset {
            for (a, basis_a) in basis.iter().enumerate() {
                let i = p * terms + a;
                self.rhs[i] += gram.gradient[offset + p] * basis_a;
                let row = &mut self.normal.row_mut(i)[last - i..];
                for (q, block) in row.chunks_mut(terms).enumerate().take(p + 1) {
                    let g = gram.at(offset + p, offset + q) * basis_a;
                    block.iter_mut().zip(basis).for_each(|(h, b)| *h += g * b);
                }
            }
        }
    }
}

/// Weighted products of a spot's derivatives (flux, x, y, shape) with each other and with the residuals.
struct Gram {
    n: usize,
    products: Vec<f64>,
    gradient: Vec<f64>,
}

impl Gram {
    fn at(&self, p: usize, q: usize) -> f64 {
        let (p, q) = if p >= q { (p, q) } else { (q, p) };
        self.products[p * (p + 1) / 2 + q]
    }

    fn new(rows: &[Vec<f64>], weight: &[f64], residual: &[f64]) -> Self {
        let mut products = Vec::with_capacity(rows.len() * (rows.len() + 1) / 2);
        let mut gradient = Vec::with_capacity(rows.len());
        let mut weighted = vec![0.0; weight.len()];
        for (p, row) in rows.iter().enumerate() {
            weighted.iter_mut().zip(row).zip(weight).for_each(|((o, r), w)| *o = r * w);
            products.extend(rows[..=p].iter().map(|q| dot(&weighted, q)));
            gradient.push(dot(&weighted, residual));
        }
        Self { n: rows.len(), products, gradient }
    }
}

/// A spot's derivatives in flux and place over its box, kept to couple it with the next lines of its fibre.
struct Placed {
    window: Window,
    rows: Vec<Vec<f64>>,
    places: Vec<Places>,
}

/// The own unknowns that a derivative of a spot acts on, each with its factor.
type Places = Vec<(usize, f64)>;

/// Equations of a fibre's own unknowns: fluxes of its active lines, then its free axes.
struct Block {
    lines: Vec<usize>,
    normal: SymmetricBand,
    rhs: Vec<f64>,
    /// Coupling to the shared unknowns, `[shared, own]`.
    coupling: Vec<f64>,
}

/// A block without its own unknowns: the factor, `L⁻¹ coupling`, `L⁻¹ rhs`.
struct Eliminated {
    lines: Vec<usize>,
    factor: BandedCholesky,
    coupling: Vec<f64>,
    rhs: Vec<f64>,
}

impl Block {
    fn assemble(
        data: &Data,
        model: &Model,
        free: &Free,
        prior: &Prior,
        residual: &[f64],
        fiber: usize,
        shared: &mut Shared,
    ) -> Self {
        let lines: Vec<usize> = (0..model.nline()).filter(|l| model.active[model.spot(fiber, *l)]).collect();
        let own = lines.len() + free.axes.checked_sub(1).map_or(0, |last| model.grid.axis(last).end);
        let mut block = Self {
            normal: SymmetricBand::zeros(own, own),
            rhs: vec![0.0; own],
            coupling: vec![0.0; shared.rhs.len() * own],
            lines,
        };
        let mut derivatives = Derivatives::default();
        let mut basis = Vec::new();
        let mut placed: Vec<Placed> = Vec::new();
        for index in 0..block.lines.len() {
            let line = block.lines[index];
            let centre = model.centre(fiber, line);
            let Some(window) = data.patch.window(centre, data.half) else { continue };
            let shape = model.spot_shape(fiber, line);
            derivatives.evaluate(&shape, centre, data.patch.corner(window), (window.nx, window.ny));
            let rows = rows(&derivatives, model.flux[model.spot(fiber, line)], free);
            let gather =
                |source: &[f64]| -> Vec<f64> { data.patch.rows(window).flat_map(|r| source[r].to_vec()).collect() };
            let gram = Gram::new(&rows, &gather(data.weight), &gather(residual));
            model.shape_basis(fiber, line, &mut basis);
            let local = 1 + free.axes;
            shared.add(&gram, local, &basis);
            let places: Vec<_> = (0..local).map(|d| block.places(model, index, d)).collect();
            block.add(&places, &gram, &basis);
            let mut spot = Placed { window, rows, places };
            spot.rows.truncate(1 + free.axes.min(TRACE_AXES));
            for before in placed.iter().rev().take_while(|b| b.window.y + b.window.ny > window.y) {
                block.couple(data, before, &spot);
            }
            placed.push(spot);
        }
        block.add_prior(model, prior, fiber);
        block
    }

    /// Unknowns behind derivative `derivative` (0: flux, then the axes) of the fibre's spot number `index`.
    fn places(&self, model: &Model, index: usize, derivative: usize) -> Places {
        let Some(axis) = derivative.checked_sub(1) else { return vec![(index, 1.0)] };
        let first = self.lines.len() + model.grid.axis(axis).start;
        model.axis_basis(axis, self.lines[index]).iter().enumerate().map(|(k, p)| (first + k, *p)).collect()
    }

    /// Adds a spot's products.
    fn add(&mut self, places: &[Places], gram: &Gram, basis: &[f64]) {
        let own = self.rhs.len();
        let local = places.len();
        let flat: Vec<(usize, usize, f64)> =
            places.iter().enumerate().flat_map(|(p, list)| list.iter().map(move |(i, a)| (*i, p, *a))).collect();
        for (n, &(i, p, a)) in flat.iter().enumerate() {
            self.rhs[i] += gram.gradient[p] * a;
            for &(j, q, b) in &flat[..=n] {
                self.normal.add(i, j, gram.at(p, q) * a * b);
            }
        }
        for s in 0..gram.n - local {
            for (k, b) in basis.iter().enumerate() {
                let row = &mut self.coupling[(s * basis.len() + k) * own..][..own];
                for &(i, p, a) in &flat {
                    row[i] += gram.at(local + s, p) * a * b;
                }
            }
        }
    }

    /// Products of two overlapping spots of the fibre in flux and place. Those in the shape are left out of all parts
    /// of the equations, so that these stay positive.
    fn couple(&mut self, data: &Data, a: &Placed, b: &Placed) {
        let (x0, x1) = (a.window.x.max(b.window.x), (a.window.x + a.window.nx).min(b.window.x + b.window.nx));
        let (y0, y1) = (a.window.y.max(b.window.y), (a.window.y + a.window.ny).min(b.window.y + b.window.ny));
        if x1 <= x0 || y1 <= y0 {
            return;
        }
        for (row_a, places_a) in a.rows.iter().zip(&a.places) {
            for (row_b, places_b) in b.rows.iter().zip(&b.places) {
                let mut sum = 0.0;
                for y in y0..y1 {
                    let start = |s: &Placed| (y - s.window.y) * s.window.nx + x0 - s.window.x;
                    let weight = &data.weight[y * data.patch.nx + x0..y * data.patch.nx + x1];
                    let pixels = weight.iter().zip(&row_a[start(a)..]).zip(&row_b[start(b)..]);
                    sum += pixels.map(|((w, p), q)| w * p * q).sum::<f64>();
                }
                for &(i, s) in places_a {
                    for &(j, t) in places_b {
                        // the unordered pair (i, j) occurs once off the diagonal and twice on it
                        let twice = if i == j { 2.0 } else { 1.0 };
                        self.normal.add(i, j, twice * sum * s * t);
                    }
                }
            }
        }
    }

    fn add_prior(&mut self, model: &Model, prior: &Prior, fiber: usize) {
        // a flux without any good pixel stays as it is
        for i in 0..self.lines.len() {
            self.normal.add(i, i, 1e-12);
        }
        let all = model.grid.own_terms();
        let first = self.lines.len();
        for k in 0..self.rhs.len() - first {
            let weight = prior.own_sigma[k].powi(-2);
            self.normal.add(first + k, first + k, weight);
            self.rhs[first + k] += weight * (prior.own[fiber * all + k] - model.own[fiber * all + k]);
        }
    }

    fn eliminate(self, shared: &mut Shared) -> Result<Eliminated, NumericsError> {
        let own = self.rhs.len();
        let Self { lines, normal, mut rhs, mut coupling } = self;
        let factor = normal.cholesky()?;
        factor.forward(&mut rhs);
        if own > 0 {
            coupling.chunks_exact_mut(own).for_each(|column| factor.forward(column));
            let last = shared.rhs.len().saturating_sub(1);
            for i in 0..shared.rhs.len() {
                let column = &coupling[i * own..(i + 1) * own];
                shared.rhs[i] -= dot(column, &rhs);
                let row = &mut shared.normal.row_mut(i)[last - i..];
                row.iter_mut().zip(coupling.chunks_exact(own)).for_each(|(h, other)| *h -= dot(column, other));
            }
        }
        Ok(Eliminated { lines, factor, coupling, rhs })
    }
}

impl Eliminated {
    fn back_substitute(&self, shared: &[f64], model: &Model, fiber: usize, step: &mut Step) {
        let own = self.rhs.len();
        if own == 0 {
            return;
        }
        let mut change = self.rhs.clone();
        for (column, s) in self.coupling.chunks_exact(own).zip(shared) {
            change.iter_mut().zip(column).for_each(|(c, b)| *c -= b * s);
        }
        self.factor.backward(&mut change);
        for (line, c) in self.lines.iter().zip(&change) {
            step.flux[model.spot(fiber, *line)] = *c;
        }
        let axes = &change[self.lines.len()..];
        step.own[fiber * model.grid.own_terms()..][..axes.len()].copy_from_slice(axes);
    }
}

/// Derivatives of a spot of `flux` electrons with respect to its flux, the free axes and the free shape parameters.
fn rows(derivatives: &Derivatives, flux: f64, free: &Free) -> Vec<Vec<f64>> {
    let scaled = |row: usize| derivatives.row(row).iter().map(|v| flux * v).collect::<Vec<f64>>();
    let axes = [derivatives::X, derivatives::Y, derivatives::SIGMA_X, derivatives::SIGMA_Y];
    let shape = |parameter: &usize| match *parameter {
        SIGMA_X => derivatives::SIGMA_X,
        SIGMA_Y => derivatives::SIGMA_Y,
        hermite => derivatives::HERMITE + hermite - HERMITE,
    };
    let mut rows = vec![derivatives.row(derivatives::VALUE).to_vec()];
    rows.extend(axes[..free.axes].iter().copied().chain(free.shape.iter().map(shape)).map(scaled));
    rows
}
