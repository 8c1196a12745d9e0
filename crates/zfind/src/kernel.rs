//! The inner loops of the exact model: a template integrated over bins, seen through the resolution, and its
//! normal equations.
//!
//! The vectors of a template lie side by side (`L` lanes, those beyond their number are 0), so that every loop is
//! over lanes. The loops are compiled for several instruction sets and chosen at run time; none contracts a product
//! and a sum into one rounding, so every host gives the same bits.

use crate::{
    basis::{Basis, Node, Places},
    spectrum::Grid,
};
use std::ops::Range;

/// Bins that are worked on together, so that what is between the steps stays in the nearest cache.
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
    pub absorption: Vec<(Range<usize>, &'a [f64])>,
}

/// Sums over bins: `[a][b]` of weight x vector a x vector b, and `[b]` of weight x flux x vector b.
pub struct Sums<const L: usize> {
    /// The normal matrix.
    pub matrix: [[f64; L]; L],
    /// The right-hand side.
    pub rhs: [f64; L],
}

/// A template at a redshift.
#[derive(Clone, Copy)]
pub struct Shifted<'a, const L: usize> {
    /// The template.
    pub basis: &'a Basis,
    /// Its nodes.
    pub nodes: &'a [Node<L>],
    /// The redshift.
    pub z: f64,
}

macro_rules! dispatch {
    ($name:ident, $lanes:literal) => {
        /// Adds a channel's sums of a template at a redshift; `binned` is scratch memory.
        pub fn $name(template: Shifted<$lanes>, rows: &Rows, binned: &mut Vec<[f64; $lanes]>, sums: &mut Sums<$lanes>) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn wide(t: Shifted<$lanes>, rows: &Rows, binned: &mut Vec<[f64; $lanes]>, sums: &mut Sums<$lanes>) {
                    accumulate(t, rows, binned, sums)
                }
                #[target_feature(enable = "avx2")]
                fn middle(t: Shifted<$lanes>, rows: &Rows, binned: &mut Vec<[f64; $lanes]>, sums: &mut Sums<$lanes>) {
                    accumulate(t, rows, binned, sums)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { wide(template, rows, binned, sums) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { middle(template, rows, binned, sums) };
                }
            }
            accumulate(template, rows, binned, sums)
        }
    };
}

dispatch!(accumulate_8, 8);
dispatch!(accumulate_16, 16);
dispatch!(accumulate_32, 32);

#[inline(always)]
fn accumulate<const L: usize>(template: Shifted<L>, rows: &Rows, binned: &mut Vec<[f64; L]>, sums: &mut Sums<L>) {
    let (nbin, half) = (rows.grid.wave.len(), rows.half);
    let ndiag = 2 * half + 1;
    // of the bins start - half .. start + BLOCK + half
    binned.clear();
    binned.resize(BLOCK + 2 * half, [0.0; L]);
    fill(template, rows, 0..half.min(nbin), &mut binned[BLOCK + half..]);
    let (mut seen, mut weighted) = ([[0.0; L]; BLOCK], [[0.0; L]; BLOCK]);
    for start in (0..nbin).step_by(BLOCK) {
        let count = BLOCK.min(nbin - start);
        binned.copy_within(BLOCK.., 0);
        fill(template, rows, (start + half).min(nbin)..(start + half + count).min(nbin), &mut binned[2 * half..]);
        if (start + half + count) > nbin {
            let known = 2 * half + nbin.saturating_sub(start + half);
            binned[known..].fill([0.0; L]);
        }
        let mut rhs = sums.rhs;
        for k in 0..count {
            let i = start + k;
            let s = resolve(&rows.resolution[i * ndiag..(i + 1) * ndiag], &binned[k..k + ndiag]);
            let (w, wf) = (rows.weight[i], rows.weighted_flux[i]);
            for v in 0..L {
                rhs[v] += wf * s[v];
            }
            for v in 0..L {
                weighted[k][v] = w * s[v];
            }
            seen[k] = s;
        }
        sums.rhs = rhs;
        add_products(&seen[..count], &weighted[..count], template.basis.len(), &mut sums.matrix);
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

/// Adds the products of the first `n` vectors with all, several rows of the matrix at a time: their sums do not wait
/// for each other.
#[inline(always)]
fn add_products<const L: usize>(seen: &[[f64; L]], weighted: &[[f64; L]], n: usize, matrix: &mut [[f64; L]; L]) {
    let mut first = 0;
    while first < n {
        first += match n - first {
            1 | 2 => add_rows::<L, 2>(seen, weighted, first, matrix),
            3 | 4 => add_rows::<L, 4>(seen, weighted, first, matrix),
            5 => add_rows::<L, 5>(seen, weighted, first, matrix),
            6 => add_rows::<L, 6>(seen, weighted, first, matrix),
            _ => add_rows::<L, 8>(seen, weighted, first, matrix),
        };
    }
}

/// Adds to `A` rows of the matrix from `first` on; returns their number.
#[inline(always)]
fn add_rows<const L: usize, const A: usize>(
    seen: &[[f64; L]],
    weighted: &[[f64; L]],
    first: usize,
    matrix: &mut [[f64; L]; L],
) -> usize {
    let Some((rows, _)) = matrix[first..].split_first_chunk_mut::<A>() else { return A };
    let mut sums = *rows;
    for (s, w) in seen.iter().zip(weighted) {
        let Some((factors, _)) = w[first..].split_first_chunk::<A>() else { continue };
        for a in 0..A {
            for v in 0..L {
                sums[a][v] += factors[a] * s[v];
            }
        }
    }
    *rows = sums;
    A
}

/// Means of the vectors over some of the bins, absorbed.
#[inline(always)]
fn fill<const L: usize>(template: Shifted<L>, rows: &Rows, bins: Range<usize>, out: &mut [[f64; L]]) {
    rebin(template, rows.grid, bins.clone(), out);
    for (range, transmission) in &rows.absorption {
        let (low, high) = (range.start.max(bins.start), range.end.min(bins.end));
        for i in low..high {
            let t = transmission[i - range.start];
            out[i - bins.start].iter_mut().for_each(|x| *x *= t);
        }
    }
}

/// Means of the vectors over bins; zero where the template does not reach.
#[inline(always)]
fn rebin<const L: usize>(template: Shifted<L>, grid: &Grid, bins: Range<usize>, out: &mut [[f64; L]]) {
    let mut places = Places { x: [0.0; BLOCK + 1], distance: [0.0; BLOCK + 1], node: [0; BLOCK + 1] };
    for (start, out) in bins.clone().step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let count = BLOCK.min(bins.end - start);
        let (edges, ln_edges) = (&grid.edges[start..=start + count], &grid.ln_edges[start..=start + count]);
        template.basis.find(template.z, edges, ln_edges, &mut places);
        let mut low = template.nodes[places.node[0] as usize].integral(places.distance[0]);
        for (e, out) in out[..count].iter_mut().enumerate() {
            let high = template.nodes[places.node[e + 1] as usize].integral(places.distance[e + 1]);
            let inside = places.x[e + 1] > places.x[e];
            let factor = if inside { (1.0 + template.z) * grid.inverse_widths[start + e] } else { 0.0 };
            for v in 0..L {
                out[v] = (high[v] - low[v]) * factor;
            }
            low = high;
        }
    }
}
