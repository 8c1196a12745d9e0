//! A template's vectors integrated over the bins of a spectrum at any redshift.
//!
//! The vectors are piecewise linear in wavelength. Their running integrals are tabulated once, so that the
//! mean over a bin costs one look-up an edge whatever the template's sampling.

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
    lanes: usize,
    /// For each node: the integral up to it of each vector, then the value of each vector; both padded to `lanes`.
    table: Vec<f64>,
}

/// The most vectors that a template may have.
pub const MAX_VECTORS: usize = 32;

/// A rest wavelength within the template, as the integrals are interpolated: with `d` its distance from the node
/// below and `h` the step there, the integral of a straight line is `(d - t) f_0 + t f_1`, `t = d^2 / 2 h`.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The node below.
    pub node: usize,
    /// `d`, Angstrom.
    pub distance: f64,
    /// `t`, Angstrom.
    pub bend: f64,
}

impl Basis {
    /// Tabulates a template of at most [`MAX_VECTORS`] vectors (others are dropped).
    pub fn new(mut template: Template) -> Self {
        if template.basis.nrows() > MAX_VECTORS {
            template.basis = template.basis.slice(ndarray::s![..MAX_VECTORS, ..]).to_owned();
        }
        let n = template.basis.nrows();
        let lanes = n.next_power_of_two().max(8);
        let wave = &template.wave;
        let mut table = vec![0.0; wave.len() * 2 * lanes];
        for (i, row) in table.chunks_exact_mut(2 * lanes).enumerate() {
            for v in 0..n {
                row[lanes + v] = template.basis[(v, i)];
            }
        }
        for i in 1..wave.len() {
            let half = 0.5 * (wave[i] - wave[i - 1]);
            let (before, row) = table.split_at_mut(i * 2 * lanes);
            let previous = &before[(i - 1) * 2 * lanes..];
            for v in 0..n {
                row[v] = previous[v] + half * (previous[lanes + v] + row[lanes + v]);
            }
        }
        let penalised = template.spectype == "GALAXY" && template.method == templates::Method::Pca;
        let oii = if penalised { oii_sums(&template) } else { Vec::new() };
        let nodes = nodes(wave);
        Self { template, oii, nodes, lanes, table }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.template.basis.nrows()
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of lanes that the vectors are padded to: 8, 16 or 32.
    pub fn lanes(&self) -> usize {
        self.lanes
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

    /// The place of rest wavelength `x` (its logarithm `ln_x`), which lies within the template.
    #[inline(always)]
    pub fn place(&self, x: f64, ln_x: f64) -> Place {
        let wave = &self.template.wave;
        let node = match self.nodes {
            Nodes::Linear(start, inverse) => ((x - start) * inverse) as usize,
            Nodes::Log(start, inverse) => ((ln_x - start) * inverse) as usize,
            Nodes::Irregular => wave.partition_point(|w| *w <= x).saturating_sub(1),
        }
        .min(wave.len().saturating_sub(2));
        let distance = x - wave[node];
        Place { node, distance, bend: 0.5 * distance * distance / (wave[node + 1] - wave[node]) }
    }

    /// The rows of a node and the next: integrals, values, integrals, values.
    #[inline(always)]
    pub fn rows(&self, node: usize) -> &[f64] {
        &self.table[node * 2 * self.lanes..(node + 2) * 2 * self.lanes]
    }

    /// Integrals of the vectors up to rest wavelength `x`, which lies within the template.
    pub fn integral(&self, x: f64) -> Vec<f64> {
        let place = self.place(x, x.ln());
        let rows = self.rows(place.node);
        let row = |k: usize, v: usize| rows[k * self.lanes + v];
        let value = |v: usize| row(0, v) + (place.distance - place.bend) * row(1, v) + place.bend * row(3, v);
        (0..self.len()).map(value).collect()
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
        let edges: Vec<f64> = (0..2000).map(|i| 3100.3 + 0.9 * f64::from(i)).collect();
        for wave in [linear, log, irregular] {
            let basis = Basis::new(template(wave.clone(), "STAR"));
            for v in 0..3 {
                let flux = basis.template.basis.row(v).to_vec();
                let expected = numerics::resample::integrate_linear(&edges, &wave, &flux);
                for (e, expected) in edges.windows(2).zip(expected) {
                    let found = basis.integral(e[1])[v] - basis.integral(e[0])[v];
                    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
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
