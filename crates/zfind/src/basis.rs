//! A template's vectors integrated over the bins of a spectrum at any redshift.
//!
//! The vectors are piecewise linear in wavelength. Their running integrals are tabulated once, so that the
//! mean over a bin costs one look-up an edge whatever the template's sampling.

use crate::spectrum::Grid;
use templates::Template;

/// Vacuum rest wavelengths of the [O II] doublet, whose flux in a galaxy must not be negative.
const OII: (f64, f64) = (3724.0, 3733.0);

/// How the nodes of a template are found.
#[derive(Debug, Clone, Copy)]
enum Nodes {
    /// Equal steps in wavelength: first node and step.
    Linear(f64, f64),
    /// Equal steps in ln wavelength: ln of the first node and step.
    Log(f64, f64),
    /// Anything else: bisection.
    Irregular,
}

/// A template with the running integrals of its vectors.
#[derive(Debug)]
pub struct Basis {
    /// The template.
    pub template: Template,
    /// Sum of each vector over the samples of the [O II] doublet; empty where there is no penalty.
    oii: Vec<f64>,
    nodes: Nodes,
    /// For each node: the integral up to it of each vector, then the value of each vector.
    table: Vec<f64>,
}

impl Basis {
    /// Tabulates a template.
    pub fn new(template: Template) -> Self {
        let n = template.basis.nrows();
        let wave = &template.wave;
        let mut table = vec![0.0; wave.len() * 2 * n];
        for (i, row) in table.chunks_exact_mut(2 * n).enumerate() {
            for v in 0..n {
                row[n + v] = template.basis[(v, i)];
            }
        }
        for i in 1..wave.len() {
            let half = 0.5 * (wave[i] - wave[i - 1]);
            let (before, row) = table.split_at_mut(i * 2 * n);
            let previous = &before[(i - 1) * 2 * n..];
            for v in 0..n {
                row[v] = previous[v] + half * (previous[n + v] + row[n + v]);
            }
        }
        let penalised = template.spectype == "GALAXY" && template.method == templates::Method::Pca;
        let oii = if penalised { oii_sums(&template) } else { Vec::new() };
        let nodes = nodes(wave);
        Self { template, oii, nodes, table }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.template.basis.nrows()
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name as redrock writes it: `GALAXY`, `STAR:::G`.
    pub fn name(&self) -> String {
        let t = &self.template;
        if t.subtype.is_empty() { t.spectype.clone() } else { format!("{}:::{}", t.spectype, t.subtype) }
    }

    /// First and last rest wavelength.
    pub fn span(&self) -> (f64, f64) {
        let wave = &self.template.wave;
        (wave.first().copied().unwrap_or(0.0), wave.last().copied().unwrap_or(0.0))
    }

    /// What is added to chi2 for a negative [O II] flux: its absolute value in the template's units.
    pub fn penalty(&self, coeff: &[f64]) -> f64 {
        (-self.oii.iter().zip(coeff).map(|(s, c)| s * c).sum::<f64>()).max(0.0)
    }

    /// Mean of each vector at redshift `z` over each bin; `out` is `[nvector, nbin]`. Zero where the template
    /// does not reach.
    pub fn rebin(&self, z: f64, grid: &Grid, out: &mut [f64]) {
        let (n, nbin) = (self.len(), grid.wave.len());
        let (first, last) = self.span();
        let (scale, ln_scale) = (1.0 / (1.0 + z), z.ln_1p());
        let mut low = vec![0.0; n];
        let mut high = vec![0.0; n];
        let mut x_low = 0.0;
        for (e, (&edge, &ln_edge)) in grid.edges.iter().zip(&grid.ln_edges).enumerate() {
            let x = (edge * scale).clamp(first, last);
            self.integral(x, ln_edge - ln_scale, &mut high);
            if e > 0 {
                let width = x - x_low;
                let factor = if width > 0.0 { 1.0 / (grid.edges[e] * scale - grid.edges[e - 1] * scale) } else { 0.0 };
                for v in 0..n {
                    out[v * nbin + e - 1] = (high[v] - low[v]) * factor;
                }
            }
            std::mem::swap(&mut low, &mut high);
            x_low = x;
        }
    }

    /// Integrals of the vectors up to rest wavelength `x`, which lies within the template.
    #[inline]
    pub fn integral(&self, x: f64, ln_x: f64, out: &mut [f64]) {
        let n = out.len();
        let wave = &self.template.wave;
        let last = wave.len().saturating_sub(2);
        let i = match self.nodes {
            Nodes::Linear(start, inverse) => ((x - start) * inverse) as usize,
            Nodes::Log(start, inverse) => ((ln_x - start) * inverse) as usize,
            Nodes::Irregular => wave.partition_point(|w| *w <= x).saturating_sub(1),
        }
        .min(last);
        let d = x - wave[i];
        let t = 0.5 * d * d / (wave[i + 1] - wave[i]);
        let row = &self.table[i * 2 * n..(i + 2) * 2 * n];
        for (v, o) in out.iter_mut().enumerate() {
            *o = row[v] + (d - t) * row[n + v] + t * row[3 * n + v];
        }
    }
}

fn oii_sums(template: &Template) -> Vec<f64> {
    let inside = |w: &f64| (OII.0..=OII.1).contains(w);
    let rows = template.basis.rows();
    rows.into_iter().map(|r| r.iter().zip(&template.wave).filter(|(_, w)| inside(w)).map(|(f, _)| f).sum()).collect()
}

/// Recognises equal steps to a hundredth of a step, so that the arithmetic finds the right node or the next.
fn nodes(wave: &[f64]) -> Nodes {
    let n = wave.len();
    if n < 3 {
        return Nodes::Irregular;
    }
    let regular = |value: &dyn Fn(usize) -> f64| {
        let step = (value(n - 1) - value(0)) / (n - 1) as f64;
        let off = (0..n).map(|i| (value(i) - value(0) - i as f64 * step).abs()).fold(0.0, f64::max);
        (off < 0.01 * step).then_some((value(0), 1.0 / step))
    };
    if let Some((start, inverse)) = regular(&|i| wave[i]) {
        return Nodes::Linear(start, inverse);
    }
    regular(&|i| wave[i].ln()).map_or(Nodes::Irregular, |(start, inverse)| Nodes::Log(start, inverse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use templates::{Igm, Method};

    fn template(wave: Vec<f64>, spectype: &str) -> Template {
        let n = wave.len();
        let basis = Array2::from_shape_fn((3, n), |(v, i)| ((v + 1) as f64 * wave[i] / 40.0).sin() + 0.2 * v as f64);
        Template {
            spectype: spectype.into(),
            subtype: String::new(),
            version: String::new(),
            source: String::new(),
            wave,
            basis,
            redshifts: vec![0.0],
            igm: Igm::None,
            method: Method::Pca,
        }
    }

    /// The look-up agrees with the integration of `numerics`, for every kind of sampling, inside and outside
    /// of the template.
    #[test]
    fn means_over_bins_are_those_of_the_piecewise_linear_curve() {
        let linear: Vec<f64> = (0..4000).map(|i| 3000.0 + 0.7 * f64::from(i)).collect();
        let log: Vec<f64> = (0..4000).map(|i| 10f64.powf(3.4771 + 7e-5 * f64::from(i))).collect();
        let irregular: Vec<f64> = (0..4000).map(|i| 3000.0 + 0.7 * f64::from(i) + 0.3 * f64::from(i % 2)).collect();
        let grid = Grid::new((0..3000).map(|i| 3600.0 + 0.8 * f64::from(i)).collect());
        for wave in [linear, log, irregular] {
            let basis = Basis::new(template(wave.clone(), "STAR"));
            for z in [0.0, 0.123, 0.4] {
                let mut out = vec![0.0; 3 * 3000];
                basis.rebin(z, &grid, &mut out);
                let observed: Vec<f64> = wave.iter().map(|w| w * (1.0 + z)).collect();
                for v in 0..3 {
                    let flux = basis.template.basis.row(v).to_vec();
                    let expected = numerics::resample::rebin(&grid.wave, &observed, &flux);
                    for (a, b) in out[v * 3000..].iter().zip(&expected) {
                        assert!((a - b).abs() < 1e-9, "z {z}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_negative_oii_of_galaxies_is_penalised() {
        let wave: Vec<f64> = (0..200).map(|i| 3700.0 + 0.5 * f64::from(i)).collect();
        let basis = Basis::new(template(wave.clone(), "GALAXY"));
        let sum: f64 = (0..200).filter(|i| (48..=66).contains(i)).map(|i| basis.template.basis[(0, i)]).sum();
        assert!((basis.penalty(&[-sum.signum(), 0.0, 0.0]) - sum.abs()).abs() < 1e-9);
        assert_eq!(basis.penalty(&[sum.signum(), 0.0, 0.0]), 0.0);
        assert_eq!(Basis::new(template(wave, "QSO")).penalty(&[-sum.signum(), 0.0, 0.0]), 0.0);
    }
}
