//! The inner loops of the exact model: a template integrated over bins, seen through the resolution, and its
//! normal equations.
//!
//! The vectors of a template lie side by side (`L` lanes, those beyond their number are 0), so that every loop is
//! over lanes. The loops are compiled for several instruction sets and chosen at run time; none contracts a product
//! and a sum into one rounding, so every host gives the same bits.

use crate::{
    basis::{Basis, Place},
    spectrum::Grid,
};

/// Bins whose products are summed at a time.
const BLOCK: usize = 64;

/// A channel as the loops read it.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Its bins.
    pub grid: &'a Grid,
    /// Inverse variance.
    pub weight: &'a [f64],
    /// Inverse variance times flux.
    pub weighted_flux: &'a [f64],
    /// Row `i` of the resolution matrix, columns `i - half ..= i + half`, zero outside the matrix.
    pub resolution: &'a [f64],
    /// Half its number of diagonals.
    pub half: usize,
    /// For each stretch of bins the transmission that the template is multiplied by.
    pub absorption: Vec<(std::ops::Range<usize>, &'a [f64])>,
}

/// Sums over bins: `[a][b]` of weight x vector a x vector b, and `[b]` of weight x flux x vector b.
pub struct Sums<const L: usize> {
    /// The normal matrix.
    pub matrix: [[f64; L]; L],
    /// The right-hand side.
    pub rhs: [f64; L],
}

macro_rules! dispatch {
    ($name:ident, $lanes:literal) => {
        /// Adds a channel's sums of a template at redshift `z`; `binned` is scratch memory.
        pub fn $name(basis: &Basis, rows: &Rows, z: f64, binned: &mut Vec<[f64; $lanes]>, sums: &mut Sums<$lanes>) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn wide(basis: &Basis, rows: &Rows, z: f64, binned: &mut Vec<[f64; $lanes]>, sums: &mut Sums<$lanes>) {
                    accumulate(basis, rows, z, binned, sums)
                }
                #[target_feature(enable = "avx2")]
                fn middle(
                    basis: &Basis,
                    rows: &Rows,
                    z: f64,
                    binned: &mut Vec<[f64; $lanes]>,
                    sums: &mut Sums<$lanes>,
                ) {
                    accumulate(basis, rows, z, binned, sums)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { wide(basis, rows, z, binned, sums) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { middle(basis, rows, z, binned, sums) };
                }
            }
            accumulate(basis, rows, z, binned, sums)
        }
    };
}

dispatch!(accumulate_8, 8);
dispatch!(accumulate_16, 16);
dispatch!(accumulate_32, 32);

#[inline(always)]
fn accumulate<const L: usize>(basis: &Basis, rows: &Rows, z: f64, binned: &mut Vec<[f64; L]>, sums: &mut Sums<L>) {
    let nbin = rows.grid.wave.len();
    let half = rows.half;
    binned.clear();
    binned.resize(nbin + 2 * half, [0.0; L]);
    rebin(basis, rows.grid, z, &mut binned[half..half + nbin]);
    for (range, transmission) in &rows.absorption {
        for (row, t) in binned[half + range.start..half + range.end].iter_mut().zip(*transmission) {
            (0..L).for_each(|v| row[v] *= t);
        }
    }
    let ndiag = 2 * half + 1;
    let mut seen = [[0.0; L]; BLOCK];
    for start in (0..nbin).step_by(BLOCK) {
        let count = BLOCK.min(nbin - start);
        for (k, s) in seen[..count].iter_mut().enumerate() {
            let i = start + k;
            *s = resolve(&rows.resolution[i * ndiag..(i + 1) * ndiag], &binned[i..i + ndiag]);
        }
        let weight = &rows.weight[start..start + count];
        add_products(&seen[..count], weight, &rows.weighted_flux[start..start + count], basis.len(), sums);
    }
}

/// One row of the resolution matrix times the vectors.
#[inline(always)]
fn resolve<const L: usize>(row: &[f64], vectors: &[[f64; L]]) -> [f64; L] {
    let mut sum = [0.0; L];
    for (r, x) in row.iter().zip(vectors) {
        for v in 0..L {
            sum[v] += r * x[v];
        }
    }
    sum
}

#[inline(always)]
fn add_products<const L: usize>(
    seen: &[[f64; L]],
    weight: &[f64],
    weighted_flux: &[f64],
    n: usize,
    sums: &mut Sums<L>,
) {
    let mut rhs = sums.rhs;
    for (s, wf) in seen.iter().zip(weighted_flux) {
        for v in 0..L {
            rhs[v] += wf * s[v];
        }
    }
    sums.rhs = rhs;
    for a in 0..n.min(L) {
        let mut row = sums.matrix[a];
        for (s, w) in seen.iter().zip(weight) {
            let factor = w * s[a];
            for v in 0..L {
                row[v] += factor * s[v];
            }
        }
        sums.matrix[a] = row;
    }
}

/// Means of the vectors at redshift `z` over the bins; zero where the template does not reach.
#[inline(always)]
fn rebin<const L: usize>(basis: &Basis, grid: &Grid, z: f64, out: &mut [[f64; L]]) {
    let (first, last) = basis.span();
    let (scale, ln_scale) = (1.0 / (1.0 + z), z.ln_1p());
    let at = |e: usize| (grid.edges[e] * scale).clamp(first, last);
    let mut x_low = at(0);
    let mut low = integral::<L>(basis, basis.place(x_low, grid.ln_edges[0] - ln_scale));
    for (e, out) in out.iter_mut().enumerate() {
        let x = at(e + 1);
        let high = integral::<L>(basis, basis.place(x, grid.ln_edges[e + 1] - ln_scale));
        let width = (grid.edges[e + 1] - grid.edges[e]) * scale;
        let factor = if x > x_low { 1.0 / width } else { 0.0 };
        for v in 0..L {
            out[v] = (high[v] - low[v]) * factor;
        }
        (low, x_low) = (high, x);
    }
}

/// Integrals of the vectors up to a place.
#[inline(always)]
fn integral<const L: usize>(basis: &Basis, place: Place) -> [f64; L] {
    let rows = basis.rows(place.node);
    let Some(([sum, left, _, right], _)) = rows.as_chunks::<L>().0.split_first_chunk::<4>() else { return [0.0; L] };
    let mut out = [0.0; L];
    for v in 0..L {
        out[v] = sum[v] + (place.distance - place.bend) * left[v] + place.bend * right[v];
    }
    out
}
