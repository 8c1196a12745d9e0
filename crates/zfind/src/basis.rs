//! A template's vectors integrated over the bins of a spectrum at any redshift.
//!
//! The vectors are piecewise linear in wavelength. Their running integrals are tabulated once, so that the
//! mean over a bin costs one look-up an edge whatever the template's sampling.

use crate::{kernel::Vectors, plausible::Plausible};
use templates::Template;

/// Vacuum rest wavelengths of the [O II] doublet, whose flux in a galaxy must not be negative.
const OII: (f64, f64) = (3724.0, 3733.0);

/// How the nodes of a template are found.
#[derive(Debug, Clone, Copy)]
enum Nodes {
    /// Equal steps in wavelength.
    Linear {
        /// Step.
        step: f64,
        /// 1 / step.
        inverse: f64,
    },
    /// Equal steps in ln wavelength.
    Log {
        /// ln of the first node.
        start: f64,
        /// 1 / step.
        inverse: f64,
    },
    /// Anything else: bisection.
    Irregular,
}

/// What a look-up of the integrals at a node needs, for `N` vectors (those that are not there are 0). At distance `d`
/// from the node, towards the next one, the integral is `sum + left d + bend d^2`. The second and third term are a
/// small part of it, so that single precision keeps the mean over a bin to 1e-7 and a node in few cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Node<const N: usize> {
    /// Integral up to the node.
    pub sum: [f64; N],
    /// Value at the node.
    pub left: [f32; N],
    /// Half the slope to the next node.
    pub bend: [f32; N],
}

/// Rest wavelengths within a template, those outside put on its ends.
#[derive(Debug)]
pub struct Places<const N: usize> {
    /// A number that rises with the wavelength.
    pub place: [f64; N],
    /// The nodes below.
    pub node: [u32; N],
    /// The distances from them, Angstrom.
    pub distance: [f64; N],
}

/// A template with the running integrals of its vectors.
#[derive(Debug)]
pub struct Basis {
    /// The template.
    pub template: Template,
    /// Sum of each vector over the samples of the [O II] doublet; empty where there is no penalty.
    oii: Vec<f64>,
    nodes: Nodes,
    table: Box<dyn Vectors>,
    plausible: Plausible,
}

/// The most vectors that a template may have.
pub const MAX_VECTORS: usize = 32;

impl Basis {
    /// Tabulates a template of at most [`MAX_VECTORS`] vectors (others are dropped).
    pub fn new(mut template: Template) -> Self {
        if template.basis.nrows() > MAX_VECTORS {
            template.basis = template.basis.slice(ndarray::s![..MAX_VECTORS, ..]).to_owned();
        }
        let table = table(&template);
        let penalised = template.spectype == "GALAXY" && template.method == templates::Method::Pca;
        let oii = if penalised { oii_sums(&template) } else { Vec::new() };
        let nodes = nodes(&template.wave);
        let plausible = match template.method {
            templates::Method::Pca => Plausible::new(&template.coefficients),
            templates::Method::Nmf => Plausible::default(),
        };
        Self { template, oii, nodes, table, plausible }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.template.basis.nrows()
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First and last rest wavelength.
    pub fn span(&self) -> (f64, f64) {
        let wave = &self.template.wave;
        (wave.first().copied().unwrap_or(0.0), wave.last().copied().unwrap_or(0.0))
    }

    /// The factors of the coefficients in the flux of [O II], whose negative values are penalised; empty where they are not.
    pub fn oii(&self) -> &[f64] {
        &self.oii
    }

    /// What is added to chi2 for a negative [O II] flux: its absolute value in the template's units.
    pub fn penalty(&self, coeff: &[f64]) -> f64 {
        (-self.oii.iter().zip(coeff).map(|(s, c)| s * c).sum::<f64>()).max(0.0)
    }

    /// What fits of real spectra are like.
    pub fn plausible(&self) -> &Plausible {
        &self.plausible
    }

    /// The nodes.
    pub fn table(&self) -> &dyn Vectors {
        self.table.as_ref()
    }

    /// Finds the places of some observed wavelengths (and their logarithms) at redshift `z`.
    #[inline(always)]
    pub fn find<const N: usize>(&self, z: f64, observed: &[f64], ln_observed: &[f64], places: &mut Places<N>) {
        let wave = &self.template.wave;
        let (first, last) = self.span();
        let (scale, most) = (1.0 / (1.0 + z), wave.len().saturating_sub(2) as u32);
        if let Nodes::Linear { step, inverse } = self.nodes {
            let (factor, start, most) = (scale * inverse, first * inverse, f64::from(most));
            let places = places.place.iter_mut().zip(&mut places.node).zip(&mut places.distance).zip(observed);
            for (((place, node), distance), observed) in places {
                *place = within(observed * factor - start, 0.0, most + 1.0);
                let below = within(place.floor(), 0.0, most);
                *node = whole(below);
                *distance = (*place - below) * step;
            }
            return;
        }
        for (x, observed) in places.place.iter_mut().zip(observed) {
            *x = within(observed * scale, first, last);
        }
        let places = places.place.iter().zip(&mut places.node).zip(&mut places.distance).zip(ln_observed);
        match self.nodes {
            Nodes::Log { start, inverse } => {
                let start = start + z.ln_1p();
                for (((x, node), distance), ln_x) in places {
                    *node = whole(within(((ln_x - start) * inverse).floor(), 0.0, f64::from(most)));
                    *distance = x - wave[*node as usize];
                }
            }
            Nodes::Linear { .. } | Nodes::Irregular => {
                for (((x, node), distance), _) in places {
                    *node = (wave.partition_point(|w| w <= x).saturating_sub(1) as u32).min(most);
                    *distance = x - wave[*node as usize];
                }
            }
        }
    }

    /// Fills `out` with the integrals of the vectors up to rest wavelength `x`, which lies within the template.
    pub fn integral(&self, x: f64, out: &mut [f64]) {
        let mut place = Places { place: [0.0], node: [0], distance: [0.0] };
        self.find(0.0, &[x], &[x.ln()], &mut place);
        self.table.integral(place.node[0] as usize, place.distance[0], out);
    }
}

impl<const N: usize> Node<N> {
    /// Integrals up to distance `d` from the node.
    #[inline(always)]
    pub fn integral(&self, d: f64) -> [f64; N] {
        let mut out = [0.0; N];
        for (v, out) in out.iter_mut().enumerate() {
            *out = f64::from(self.bend[v]).mul_add(d, f64::from(self.left[v])).mul_add(d, self.sum[v]);
        }
        out
    }
}

/// A number, put between two others.
#[inline(always)]
fn within(x: f64, low: f64, high: f64) -> f64 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// A whole number from 0 to 2^32 as an integer, in vectors too: of a double from 2^52 on the last bit is the unit.
#[inline(always)]
fn whole(x: f64) -> u32 {
    (x + (1u64 << 52) as f64).to_bits() as u32
}

/// The nodes of a template, each with as many vectors as it has or a few more.
fn table(template: &Template) -> Box<dyn Vectors> {
    match template.basis.nrows() {
        0..=3 => Box::new(tabulate::<3>(template)),
        4 => Box::new(tabulate::<4>(template)),
        5 => Box::new(tabulate::<5>(template)),
        6 => Box::new(tabulate::<6>(template)),
        7..=8 => Box::new(tabulate::<8>(template)),
        9..=10 => Box::new(tabulate::<10>(template)),
        11..=16 => Box::new(tabulate::<16>(template)),
        _ => Box::new(tabulate::<MAX_VECTORS>(template)),
    }
}

/// The running integrals of the piecewise linear vectors, by the trapezoid rule, which is exact for them.
fn tabulate<const N: usize>(template: &Template) -> Vec<Node<N>> {
    let (wave, n) = (&template.wave, template.basis.nrows());
    let mut table = vec![Node { sum: [0.0; N], left: [0.0; N], bend: [0.0; N] }; wave.len()];
    for v in 0..n.min(N) {
        let vector = template.basis.row(v);
        let mut sum = 0.0;
        for i in 0..wave.len() {
            table[i].sum[v] = sum;
            table[i].left[v] = vector[i] as f32;
            if i + 1 < wave.len() {
                let step = wave[i + 1] - wave[i];
                table[i].bend[v] = (0.5 * (vector[i + 1] - vector[i]) / step) as f32;
                sum += 0.5 * step * (vector[i] + vector[i + 1]);
            }
        }
    }
    table
}

fn oii_sums(template: &Template) -> Vec<f64> {
    let inside = |w: &f64| (OII.0..=OII.1).contains(w);
    let rows = template.basis.rows();
    rows.into_iter().map(|r| r.iter().zip(&template.wave).filter(|(_, w)| inside(w)).map(|(f, _)| f).sum()).collect()
}

/// Recognises equal steps: in wavelength to 1e-7 of a step, for nodes are computed; in its logarithm to a hundredth, so
/// that the arithmetic finds the right node or the next.
fn nodes(wave: &[f64]) -> Nodes {
    let n = wave.len();
    if n < 3 {
        return Nodes::Irregular;
    }
    let regular = |value: &dyn Fn(usize) -> f64, tolerance: f64| {
        let (start, step) = (value(0), (value(n - 1) - value(0)) / (n - 1) as f64);
        let equal = (0..n).all(|i| (value(i) - start - i as f64 * step).abs() < tolerance * step);
        equal.then_some((start, step))
    };
    if let Some((_, step)) = regular(&|i| wave[i], 1e-7) {
        return Nodes::Linear { step, inverse: 1.0 / step };
    }
    regular(&|i| wave[i].ln(), 0.01).map_or(Nodes::Irregular, |(start, step)| Nodes::Log { start, inverse: 1.0 / step })
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
            coefficients: ndarray::Array2::zeros((0, 0)),
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
            let integral = |x: f64, v: usize| {
                let mut all = [0.0; 3];
                basis.integral(x, &mut all);
                all[v]
            };
            for v in 0..3 {
                let flux = basis.template.basis.row(v).to_vec();
                let expected = numerics::resample::integrate_linear(&edges, &wave, &flux);
                for (e, expected) in edges.windows(2).zip(expected) {
                    let found = integral(e[1], v) - integral(e[0], v);
                    assert!((found - expected).abs() < 1e-7, "{found} {expected}");
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
