//! The inner loops of the exact model: a template integrated over bins, seen through the resolution, and its
//! normal equations.
//!
//! Means over bins are made with the vectors of a template side by side, as its nodes are; what the resolution shows of
//! them with bins side by side, so that no lane is idle whatever the number of vectors. The loops are compiled for each
//! number and for several instruction sets, chosen at run time ([`numerics::simd`]), with the same bits on every host.

use crate::{
    basis::{Basis, Node, Places},
    spectrum::Grid,
};
use std::{borrow::Cow, fmt::Debug, ops::Range};

/// Bins that are worked on together, so that what is between the steps stays in the nearest cache.
pub const BLOCK: usize = 64;

/// Their edges.
const EDGES: usize = BLOCK + 1;

/// Bins whose rows of the resolution matrix lie together; divides [`BLOCK`].
pub const GROUP: usize = 8;

/// Bins whose products are summed side by side; divides [`BLOCK`].
const LANES: usize = 4;

/// Rows and columns of the normal matrix that are summed together: as many as there are registers for.
const TILE: usize = 3;

/// A channel as the loops read it.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Its bins.
    pub grid: &'a Grid,
    /// Inverse variance, with zeros after the last bin up to a whole [`BLOCK`].
    pub weight: &'a [f64],
    /// Inverse variance times flux, likewise.
    pub weighted_flux: &'a [f64],
    /// `[group][m][i]`: of bin `GROUP * group + i` the element of the resolution matrix in column
    /// `GROUP * group - half + m`, zero outside of the matrix and its band; `2 half + GROUP` values of `m`, whole blocks
    /// of bins. In single precision, for it is read anew for each redshift: DESI's files have no more, and of a resolution that
    /// is computed (SDSS) the rounding, 6e-8 of an element, is the same at every redshift.
    pub resolution: &'a [[f32; GROUP]],
    /// Half its number of diagonals.
    pub half: usize,
    /// For each stretch of bins the transmission that the template is multiplied by.
    pub absorption: Vec<(Range<usize>, Cow<'a, [f64]>)>,
}

/// The tabulated vectors of a template, of whatever number.
pub trait Vectors: Debug + Send + Sync {
    /// Their number, or a few more that are 0.
    fn width(&self) -> usize;

    /// Fills `out` with their integrals up to distance `d` (Angstrom) from a node.
    fn integral(&self, node: usize, d: f64, out: &mut [f64]);

    /// Adds a channel's sums over bins of a template at a redshift: `sums[a * width + b]` of weight x vector a x vector b for
    /// b up to a at least, and with a = width of weight x flux x vector b. `binned` is scratch memory.
    fn accumulate(&self, basis: &Basis, z: f64, rows: &Rows, binned: &mut Vec<f64>, sums: &mut [f64]);
}

impl<const N: usize> Vectors for Vec<Node<N>> {
    fn width(&self) -> usize {
        N
    }

    fn integral(&self, node: usize, d: f64, out: &mut [f64]) {
        out.iter_mut().zip(self[node].integral(d)).for_each(|(out, x)| *out = x);
    }

    fn accumulate(&self, basis: &Basis, z: f64, rows: &Rows, binned: &mut Vec<f64>, sums: &mut [f64]) {
        binned.clear();
        binned.resize((BLOCK + 2 * rows.half) * N, 0.0);
        let mut total = Sums { products: [[[0.0; LANES]; N]; N], rhs: [[0.0; LANES]; N] };
        accumulate(Shifted { basis, nodes: self, z }, rows, binned.as_chunks_mut().0, &mut total);
        let lanes = total.products.as_flattened().iter().chain(&total.rhs);
        sums.iter_mut().zip(lanes).for_each(|(s, [a, b, c, d])| *s += (a + b) + (c + d));
    }
}

/// Sums over bins, one bin in [`LANES`] in each lane: `[a][b]` of weight x vector a x vector b, and `[b]` of weight x flux
/// x vector b.
struct Sums<const N: usize> {
    products: [[[f64; LANES]; N]; N],
    rhs: [[f64; LANES]; N],
}

/// What is seen of the vectors in a block of bins, and the factors of its products: weight x vector, and weight x flux.
struct Seen<'a, const N: usize> {
    vectors: &'a [[f64; BLOCK]; N],
    weighted: &'a [[f64; BLOCK]; N],
    weighted_flux: &'a [f64; BLOCK],
}

/// A template at a redshift.
#[derive(Clone, Copy)]
struct Shifted<'a, const N: usize> {
    basis: &'a Basis,
    nodes: &'a [Node<N>],
    z: f64,
}

numerics::dispatch! {
    fn accumulate<const N: usize>(template: Shifted<N>, rows: &Rows, binned: &mut [[f64; N]], sums: &mut Sums<N>) -> ()
        = add_channel | add_channel
}

/// Adds a channel's sums. `binned` are means over the bins `start - half .. start + BLOCK + half` of a block, 0 outside.
#[inline(always)]
fn add_channel<const N: usize>(template: Shifted<N>, rows: &Rows, binned: &mut [[f64; N]], sums: &mut Sums<N>) {
    let (nbin, half) = (rows.grid.wave.len(), rows.half);
    let band = 2 * half + GROUP;
    fill(template, rows, 0..half.min(nbin), &mut binned[BLOCK + half..]);
    let ahead = |start: usize| (start + half).min(nbin)..(start + half + BLOCK).min(nbin);
    let mut places = locate(template, rows.grid, ahead(0));
    let (weights, weighted_fluxes) = (rows.weight.as_chunks().0, rows.weighted_flux.as_chunks().0);
    let (mut vectors, mut weighted) = ([[0.0; BLOCK]; N], [[0.0; BLOCK]; N]);
    for (block, (weight, weighted_flux)) in weights.iter().zip(weighted_fluxes).enumerate() {
        let start = block * BLOCK;
        binned.copy_within(BLOCK.., 0);
        rebin(template, rows, ahead(start), &places, &mut binned[2 * half..]);
        binned[2 * half + ahead(start).len()..].fill([0.0; N]);
        places = locate(template, rows.grid, ahead(start + BLOCK));
        let resolution = &rows.resolution[start / GROUP * band..];
        resolve(resolution, band, binned, &mut vectors);
        weigh(weight, &vectors, &mut weighted);
        add_products(&Seen { vectors: &vectors, weighted: &weighted, weighted_flux }, sums);
    }
}

/// A block's rows of the resolution matrix times the vectors.
#[inline(always)]
fn resolve<const N: usize>(rows: &[[f32; GROUP]], band: usize, binned: &[[f64; N]], seen: &mut [[f64; BLOCK]; N]) {
    for (group, rows) in rows.chunks_exact(band).take(BLOCK / GROUP).enumerate() {
        let start = group * GROUP;
        let binned = &binned[start..start + band];
        // as many vectors at once as there are registers for
        match N {
            _ if N.is_multiple_of(5) => resolve_group::<N, 5>(rows, binned, start, seen),
            _ if N.is_multiple_of(4) => resolve_group::<N, 4>(rows, binned, start, seen),
            _ if N.is_multiple_of(3) => resolve_group::<N, 3>(rows, binned, start, seen),
            _ => resolve_group::<N, 1>(rows, binned, start, seen),
        }
    }
}

/// [`GROUP`] rows of the resolution matrix times the vectors, `C` at once.
#[inline(always)]
fn resolve_group<const N: usize, const C: usize>(
    rows: &[[f32; GROUP]],
    binned: &[[f64; N]],
    start: usize,
    seen: &mut [[f64; BLOCK]; N],
) {
    for first in (0..N).step_by(C) {
        let mut sums = [[0.0; GROUP]; C];
        // the first columns are those of the first bins only, the last ones of the last
        let (head, tail) = (GROUP / 2, rows.len() - GROUP / 2);
        add_columns::<N, C, 0, { GROUP / 2 }>(&rows[..head], &binned[..head], first, &mut sums);
        add_columns::<N, C, 0, GROUP>(&rows[head..tail], &binned[head..tail], first, &mut sums);
        add_columns::<N, C, { GROUP / 2 }, GROUP>(&rows[tail..], &binned[tail..], first, &mut sums);
        for c in 0..C {
            seen[first + c][start..start + GROUP].copy_from_slice(&sums[c]);
        }
    }
}

/// Some columns of the rows `FROM..TO` of a group times `C` of the vectors.
#[inline(always)]
fn add_columns<const N: usize, const C: usize, const FROM: usize, const TO: usize>(
    rows: &[[f32; GROUP]],
    binned: &[[f64; N]],
    first: usize,
    sums: &mut [[f64; GROUP]; C],
) {
    for (row, x) in rows.iter().zip(binned) {
        for c in 0..C {
            for i in FROM..TO {
                sums[c][i] = f64::from(row[i]).mul_add(x[first + c], sums[c][i]);
            }
        }
    }
}

/// The vectors times the weights.
#[inline(always)]
fn weigh<const N: usize>(weight: &[f64; BLOCK], vectors: &[[f64; BLOCK]; N], weighted: &mut [[f64; BLOCK]; N]) {
    for v in 0..N {
        for i in 0..BLOCK {
            weighted[v][i] = weight[i] * vectors[v][i];
        }
    }
}

/// Adds a block's products, tile by tile of the lower triangle of the matrix, and of the right-hand side, its last row.
#[inline(always)]
fn add_products<const N: usize>(seen: &Seen<N>, sums: &mut Sums<N>) {
    for row in (0..=N).step_by(TILE) {
        for column in (0..N.min(row + TILE)).step_by(TILE) {
            add_tile(seen, row, column, sums);
        }
    }
}

/// Adds a tile that begins at a row and a column. Where fewer are left the tile is of the last ones, and what it has
/// of others is dropped: every tile is the same few instructions.
#[inline(always)]
fn add_tile<const N: usize>(seen: &Seen<N>, row: usize, column: usize, sums: &mut Sums<N>) {
    let (first_row, first_column) = (row.min(N + 1 - TILE), column.min(N - TILE));
    let mut tile = [[[0.0; LANES]; TILE]; TILE];
    for i in (0..BLOCK).step_by(LANES) {
        for (a, tile) in tile.iter_mut().enumerate() {
            let factors = if first_row + a < N { &seen.weighted[first_row + a] } else { seen.weighted_flux };
            for (c, lanes) in tile.iter_mut().enumerate() {
                for l in 0..LANES {
                    lanes[l] = factors[i + l].mul_add(seen.vectors[first_column + c][i + l], lanes[l]);
                }
            }
        }
    }
    for (r, tile) in (first_row..).zip(&tile).filter(|(r, _)| *r >= row) {
        let sums = if r < N { &mut sums.products[r] } else { &mut sums.rhs };
        for (c, lanes) in (first_column..).zip(tile).filter(|(c, _)| *c >= column) {
            for l in 0..LANES {
                sums[c][l] += lanes[l];
            }
        }
    }
}

/// Means of the vectors over any number of bins.
#[inline(always)]
fn fill<const N: usize>(template: Shifted<N>, rows: &Rows, bins: Range<usize>, out: &mut [[f64; N]]) {
    for (start, out) in bins.clone().step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let bins = start..bins.end.min(start + BLOCK);
        rebin(template, rows, bins.clone(), &locate(template, rows.grid, bins), out);
    }
}

/// Finds the nodes of the edges of up to [`BLOCK`] bins, and asks for them from memory.
#[inline(always)]
fn locate<const N: usize>(template: Shifted<N>, grid: &Grid, bins: Range<usize>) -> Places<EDGES> {
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
fn rebin<const N: usize>(
    template: Shifted<N>,
    rows: &Rows,
    bins: Range<usize>,
    places: &Places<EDGES>,
    out: &mut [[f64; N]],
) {
    let mut low = template.nodes[places.node[0] as usize].integral(places.distance[0]);
    for (e, (out, inverse_width)) in out.iter_mut().zip(&rows.grid.inverse_widths[bins.clone()]).enumerate() {
        let high = template.nodes[places.node[e + 1] as usize].integral(places.distance[e + 1]);
        let inside = places.place[e + 1] > places.place[e];
        let factor = if inside { (1.0 + template.z) * inverse_width } else { 0.0 };
        for v in 0..N {
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
