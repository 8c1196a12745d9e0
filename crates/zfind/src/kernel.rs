//! The inner loops of the exact model: a template integrated over bins, seen through the resolution, and its
//! normal equations.
//!
//! The vectors of a template lie side by side (`L` lanes, those beyond their number are 0), so that every loop is
//! over lanes. The loops are compiled for several instruction sets and chosen at run time
//! ([`numerics::simd`]), with the same bits on every host.

use crate::{
    basis::{Basis, Node, Places},
    spectrum::Grid,
};
use std::{borrow::Cow, ops::Range};

/// Bins that are worked on together, so that what is between the steps stays in the nearest cache.
const BLOCK: usize = 64;

/// Their edges.
const EDGES: usize = BLOCK + 1;

/// Bins whose rows of the resolution matrix lie together; divides [`BLOCK`].
pub const GROUP: usize = 4;

/// Columns of the normal matrix that are summed together.
const COLUMNS: usize = 8;

/// A channel as the loops read it.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Its bins.
    pub grid: &'a Grid,
    /// Inverse variance.
    pub weight: &'a [f64],
    /// Inverse variance times flux.
    pub weighted_flux: &'a [f64],
    /// `[group][m][i]`: of bin `GROUP * group + i` the element of the resolution matrix in column
    /// `GROUP * group - half + m`, zero outside of the matrix and its band; `2 half + GROUP` values of `m`.
    pub resolution: &'a [[f64; GROUP]],
    /// Half its number of diagonals.
    pub half: usize,
    /// For each stretch of bins the transmission that the template is multiplied by.
    pub absorption: Vec<(Range<usize>, Cow<'a, [f64]>)>,
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

numerics::dispatch! {
    /// Adds a channel's sums of a template at a redshift; `binned` is scratch memory.
    pub fn accumulate_8(template: Shifted<8>, rows: &Rows, binned: &mut Vec<[f64; 8]>, sums: &mut Sums<8>) -> ()
        = accumulate | accumulate
}
numerics::dispatch! {
    /// [`accumulate_8`] for 16 lanes.
    pub fn accumulate_16(template: Shifted<16>, rows: &Rows, binned: &mut Vec<[f64; 16]>, sums: &mut Sums<16>) -> ()
        = accumulate | accumulate
}
numerics::dispatch! {
    /// [`accumulate_8`] for 32 lanes.
    pub fn accumulate_32(template: Shifted<32>, rows: &Rows, binned: &mut Vec<[f64; 32]>, sums: &mut Sums<32>) -> ()
        = accumulate | accumulate
}

#[inline(always)]
fn accumulate<const L: usize>(template: Shifted<L>, rows: &Rows, binned: &mut Vec<[f64; L]>, sums: &mut Sums<L>) {
    let (nbin, half) = (rows.grid.wave.len(), rows.half);
    let band = 2 * half + GROUP;
    // of the bins start - half .. start + BLOCK + half
    binned.clear();
    binned.resize(BLOCK + 2 * half, [0.0; L]);
    fill(template, rows, 0..half.min(nbin), &mut binned[BLOCK + half..]);
    let ahead = |start: usize| (start + half).min(nbin)..(start + half + BLOCK).min(nbin);
    let mut places = locate(template, rows.grid, ahead(0));
    let (mut seen, mut weighted) = ([[0.0; L]; BLOCK], [[0.0; L]; BLOCK]);
    for start in (0..nbin).step_by(BLOCK) {
        let count = BLOCK.min(nbin - start);
        binned.copy_within(BLOCK.., 0);
        rebin(template, rows, ahead(start), &places, &mut binned[2 * half..]);
        places = locate(template, rows.grid, ahead(start + BLOCK));
        if (start + half + count) > nbin {
            let known = 2 * half + nbin.saturating_sub(start + half);
            binned[known..].fill([0.0; L]);
        }
        let mut rhs = sums.rhs;
        for k in (0..count).step_by(GROUP) {
            let group = (start + k) / GROUP;
            let s = resolve(&rows.resolution[group * band..(group + 1) * band], &binned[k..k + band]);
            for b in 0..GROUP.min(count - k) {
                let (w, wf) = (rows.weight[start + k + b], rows.weighted_flux[start + k + b]);
                for v in 0..L {
                    weighted[k + b][v] = w * s[b][v];
                    rhs[v] = wf.mul_add(s[b][v], rhs[v]);
                }
                seen[k + b] = s[b];
            }
        }
        sums.rhs = rhs;
        add_products(&seen[..count], &weighted[..count], template.basis.len(), &mut sums.matrix);
    }
}

/// Some rows of the resolution matrix times the vectors.
#[inline(always)]
fn resolve<const L: usize>(rows: &[[f64; GROUP]], vectors: &[[f64; L]]) -> [[f64; L]; GROUP] {
    let mut sums = [[0.0; L]; GROUP];
    for (r, x) in rows.iter().zip(vectors) {
        for b in 0..GROUP {
            for v in 0..L {
                sums[b][v] = r[b].mul_add(x[v], sums[b][v]);
            }
        }
    }
    sums
}

/// Adds the products of the first `n` vectors to the matrix, up to its diagonal at least, several rows at a time: their
/// sums do not wait for each other.
#[inline(always)]
fn add_products<const L: usize>(seen: &[[f64; L]], weighted: &[[f64; L]], n: usize, matrix: &mut [[f64; L]; L]) {
    for first in (0..n).step_by(COLUMNS) {
        if first == 0 {
            match n {
                1..=4 => add_tile::<L, 4, 1>(seen, weighted, (0, 0), matrix),
                5 => add_tile::<L, 5, 1>(seen, weighted, (0, 0), matrix),
                6 => add_tile::<L, 6, 1>(seen, weighted, (0, 0), matrix),
                _ => add_tile::<L, 8, 1>(seen, weighted, (0, 0), matrix),
            }
            continue;
        }
        for column in (0..=first).step_by(2 * COLUMNS) {
            match n - first {
                1 | 2 => add_tile::<L, 2, 2>(seen, weighted, (first, column), matrix),
                3 | 4 => add_tile::<L, 4, 2>(seen, weighted, (first, column), matrix),
                _ => add_tile::<L, 8, 2>(seen, weighted, (first, column), matrix),
            }
        }
    }
}

/// Adds to `A` rows of `C` x [`COLUMNS`] columns of the matrix.
#[inline(always)]
fn add_tile<const L: usize, const A: usize, const C: usize>(
    seen: &[[f64; L]],
    weighted: &[[f64; L]],
    (row, column): (usize, usize),
    matrix: &mut [[f64; L]; L],
) {
    let mut sums = [[[0.0; COLUMNS]; C]; A];
    for (s, w) in seen.iter().zip(weighted) {
        let (Some((factors, _)), Some(values)) =
            (w[row..].split_first_chunk::<A>(), s[column..].as_chunks::<COLUMNS>().0.first_chunk::<C>())
        else {
            continue;
        };
        for a in 0..A {
            for c in 0..C {
                for v in 0..COLUMNS {
                    sums[a][c][v] = factors[a].mul_add(values[c][v], sums[a][c][v]);
                }
            }
        }
    }
    for (row, sums) in matrix[row..].iter_mut().zip(&sums) {
        for (m, s) in row[column..].iter_mut().zip(sums.as_flattened()) {
            *m += s;
        }
    }
}

/// Means of the vectors over any number of bins.
#[inline(always)]
fn fill<const L: usize>(template: Shifted<L>, rows: &Rows, bins: Range<usize>, out: &mut [[f64; L]]) {
    for (start, out) in bins.clone().step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let bins = start..bins.end.min(start + BLOCK);
        rebin(template, rows, bins.clone(), &locate(template, rows.grid, bins), out);
    }
}

/// Finds the nodes of the edges of up to [`BLOCK`] bins, and asks for them from memory.
#[inline(always)]
fn locate<const L: usize>(template: Shifted<L>, grid: &Grid, bins: Range<usize>) -> Places<EDGES> {
    let mut places = Places { place: [0.0; EDGES], distance: [0.0; EDGES], node: [0; EDGES] };
    let (edges, ln_edges) = (&grid.edges[bins.start..=bins.end], &grid.ln_edges[bins.start..=bins.end]);
    template.basis.find(template.z, edges, ln_edges, &mut places);
    for node in &places.node[..edges.len()] {
        prefetch(&template.nodes[*node as usize]);
    }
    places
}

/// Asks for a value from memory before it is needed.
#[inline(always)]
fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies within `value`, and a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast::<i8>().add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Means of the vectors over up to [`BLOCK`] bins, absorbed; zero where the template does not reach.
#[inline(always)]
fn rebin<const L: usize>(
    template: Shifted<L>,
    rows: &Rows,
    bins: Range<usize>,
    places: &Places<EDGES>,
    out: &mut [[f64; L]],
) {
    let mut low = template.nodes[places.node[0] as usize].integral(places.distance[0]);
    for (e, (out, inverse_width)) in out.iter_mut().zip(&rows.grid.inverse_widths[bins.clone()]).enumerate() {
        let high = template.nodes[places.node[e + 1] as usize].integral(places.distance[e + 1]);
        let inside = places.place[e + 1] > places.place[e];
        let factor = if inside { (1.0 + template.z) * inverse_width } else { 0.0 };
        for v in 0..L {
            out[v] = (high[v] - low[v]) * factor;
        }
        low = high;
    }
    for (range, transmission) in &rows.absorption {
        let (low, high) = (range.start.max(bins.start), range.end.min(bins.end));
        for i in low..high {
            let t = transmission[i - range.start];
            for x in &mut out[i - bins.start] {
                *x *= t;
            }
        }
    }
}
