//! The normal equations `Aᵀ W A f = Aᵀ W p` of a bundle. A spot shares pixels only with spots of its own and
//! of neighbouring fibres at nearby wavelengths, so they are kept as short rows around each pair of fibres.

use crate::{
    pixels::{Pixels, flat},
    projection::{Column, LANES, Projection},
};
use numerics::{SymmetricBand, dispatch};
use rayon::prelude::*;
use std::ops::Range;

/// Normal equations of a bundle's fibres.
#[derive(Debug, Clone)]
pub struct Normal {
    /// Number of fibres.
    pub nfiber: usize,
    /// Number of bins.
    pub nwave: usize,
    /// Fibres to the right that a spot may overlap, itself included.
    reach: usize,
    /// Bins to either side that a spot may overlap.
    pub half: usize,
    /// `[nfiber, nwave, reach, 2 half + 1]`: entry `(f, i, d, k)` couples `(f, i)` to `(f + d, i + k - half)`.
    blocks: Vec<f64>,
    /// `Aᵀ W p`, `[nfiber, nwave]`, electron^-1.
    pub rhs: Vec<f64>,
    /// `Σ_p W_p A_pj`, `[nfiber, nwave]`, electron^-2.
    pub fluxweight: Vec<f64>,
    /// Light of a spot that falls on pixels with a weight, 0 to 1, `[nfiber, nwave]`.
    pub covered: Vec<f64>,
}

impl Normal {
    /// Sums over the pixels.
    pub fn new(a: &Projection, pixels: &Pixels) -> Self {
        let (nfiber, nwave) = (a.nfiber, a.nwave);
        let reach = reach(a);
        let half = half_width(a, reach);
        let row = reach * (2 * half + 1);
        let mut blocks = vec![0.0; nfiber * nwave * row];
        let mut sums = vec![[0.0; 3]; nfiber * nwave];
        blocks
            .par_chunks_mut(nwave * row)
            .zip(sums.par_chunks_mut(nwave))
            .enumerate()
            .for_each(|(f, (blocks, sums))| fiber(a, pixels, f, half, blocks, sums));
        let pick = |k: usize| sums.iter().map(|s| s[k]).collect();
        Self { nfiber, nwave, reach, half, blocks, rhs: pick(0), fluxweight: pick(1), covered: pick(2) }
    }

    /// Pixels that the pairs of spots share, all together: the multiplications that the products took.
    pub fn multiplications(&self, a: &Projection) -> f64 {
        let shared = |p: (i32, i32), q: (i32, i32)| {
            let overlap = |d: i32, n: usize| n.saturating_sub(d.unsigned_abs() as usize);
            (overlap(p.0 - q.0, a.size.0) * overlap(p.1 - q.1, a.size.1)) as f64
        };
        let mut sum = 0.0;
        for f in 0..self.nfiber {
            for (d, i) in (0..self.reach.min(self.nfiber - f)).flat_map(|d| (0..self.nwave).map(move |i| (d, i))) {
                let end = if d == 0 { i + 1 } else { (i + self.half + 1).min(self.nwave) };
                let others = (i.saturating_sub(self.half)..end).filter_map(|j| a.corner(f + d, j));
                sum += a.corner(f, i).map_or(0.0, |p| others.map(|q| shared(p, q)).sum());
            }
        }
        sum
    }

    /// `a_{f,i}ᵀ W a_{g,j}` for `g >= f`, 0 beyond what is stored.
    fn get(&self, (f, i): (usize, usize), (g, j): (usize, usize)) -> f64 {
        let (d, k) = (g - f, j + self.half - i);
        let width = 2 * self.half + 1;
        if d >= self.reach || k >= width {
            0.0
        } else {
            self.blocks[((f * self.nwave + i) * self.reach + d) * width + k]
        }
    }

    /// The matrix of `fibers` alone, unknowns ordered by bin, then by fibre: `(f, i)` is row `i m + f` of `m`
    /// fibres. Half bandwidth `m half + m - 1`.
    pub fn band(&self, fibers: Range<usize>) -> SymmetricBand {
        let m = fibers.len();
        let kd = m * self.half + m - 1;
        let mut matrix = SymmetricBand::zeros(self.nwave * m, kd);
        for i in 0..self.nwave {
            for f in fibers.clone() {
                for g in f..(f + self.reach).min(fibers.end) {
                    for j in i.saturating_sub(self.half)..(i + self.half + 1).min(self.nwave) {
                        // the pair (f, i), (f, j) is met twice
                        if g > f || j <= i {
                            matrix.add(i * m + f - fibers.start, j * m + g - fibers.start, self.get((f, i), (g, j)));
                        }
                    }
                }
            }
        }
        matrix
    }
}

dispatch!(
    /// Fills the rows of a fibre's spots.
    fn fiber(
        a: &Projection, pixels: &Pixels, f: usize, half: usize, blocks: &mut [f64], sums: &mut [[f64; 3]]
    ) -> () = rows | rows
);

#[inline(always)]
fn rows(a: &Projection, pixels: &Pixels, f: usize, half: usize, blocks: &mut [f64], sums: &mut [[f64; 3]]) {
    let mut weighted = Weighted::new(a.size);
    let row = blocks.len() / sums.len();
    for (i, (block, sum)) in blocks.chunks_exact_mut(row).zip(sums).enumerate() {
        if let Some(column) = a.column(f, i) {
            *sum = weighted.take(a, pixels, column);
            couple(a, (f, i), &weighted, half, block);
        }
    }
}

/// `W a` of one spot, with zeros to the right of each row so that products may run on in steps of [`LANES`].
struct Weighted {
    x0: i32,
    y0: i32,
    stride: usize,
    /// `[ny, stride]`.
    values: Vec<f64>,
}

impl Weighted {
    fn new((nx, ny): (usize, usize)) -> Self {
        let stride = nx + LANES;
        Self { x0: 0, y0: 0, stride, values: vec![0.0; ny * stride] }
    }

    /// Takes the spot of a column (0 off the image); returns `aᵀ W p`, `Σ W a` and `Σ_{W > 0} a`.
    #[inline(always)]
    fn take(&mut self, a: &Projection, pixels: &Pixels, column: Column<'_>) -> [f64; 3] {
        (self.x0, self.y0) = (column.x0, column.y0);
        self.values.fill(0.0);
        let (weights, data, width) = (flat(&pixels.weight), flat(&pixels.value), pixels.shape().1);
        let mut sums = [[0.0; LANES]; 3];
        a.for_rows(column, |y, x, values, (r, c)| {
            let pixels = y * width + x..y * width + x + values.len();
            let out = &mut self.values[r * self.stride + c..][..values.len()];
            weigh(&weights[pixels.clone()], &data[pixels], values, out, &mut sums);
        });
        sums.map(|s| s.iter().sum())
    }

    /// Sum over the pixels that this and another spot share.
    #[inline(always)]
    fn product(&self, (nx, ny): (usize, usize), q: Column<'_>) -> f64 {
        let (dx, dy) = (q.x0 - self.x0, q.y0 - self.y0);
        if dx.unsigned_abs() as usize >= nx || dy.unsigned_abs() as usize >= ny {
            return 0.0;
        }
        let ((px, qx), (py, qy)) = (first(dx), first(dy));
        let (width, height) = (nx - px - qx, ny - py - qy);
        let p = (&self.values[py * self.stride + px..], self.stride);
        let q = (&q.values[qy * nx + qx..], nx);
        // where the other spot begins further right, this one is 0 beyond `width`
        let steps = if qx == 0 { width.div_ceil(LANES) } else { width / LANES };
        let mut lanes = match steps {
            0 => [0.0; LANES],
            1 => multiply::<1>(p, q, height),
            2 => multiply::<2>(p, q, height),
            3 => multiply::<3>(p, q, height),
            _ => multiply_any(p, q, height, steps * LANES),
        };
        for r in 0..height {
            for k in steps * LANES..width {
                lanes[k % LANES] = p.0[r * p.1 + k].mul_add(q.0[r * q.1 + k], lanes[k % LANES]);
            }
        }
        let pairs: [f64; 4] = std::array::from_fn(|k| lanes[k] + lanes[k + 4]);
        (pairs[0] + pairs[2]) + (pairs[1] + pairs[3])
    }
}

/// A row of `W a`, and what it adds to `aᵀ W p`, `Σ W a` and `Σ_{W > 0} a`.
#[inline(always)]
fn weigh(weights: &[f32], data: &[f32], spot: &[f64], out: &mut [f64], sums: &mut [[f64; LANES]; 3]) {
    let n = spot.len();
    let mut one = |at: usize, lane: usize| {
        let (w, v) = (f64::from(weights[at]), spot[at]);
        let wv = w * v;
        out[at] = wv;
        sums[0][lane] += wv * f64::from(data[at]);
        sums[1][lane] += wv;
        sums[2][lane] += if w > 0.0 { v } else { 0.0 };
    };
    for at in (0..n / LANES * LANES).step_by(LANES) {
        for k in 0..LANES {
            one(at + k, k);
        }
    }
    for at in n / LANES * LANES..n {
        one(at, at % LANES);
    }
}

/// Rows of values and their stride.
type Rows<'a> = (&'a [f64], usize);

/// Sum of the products of `height` rows of `S` times [`LANES`] values.
#[inline(always)]
fn multiply<const S: usize>((p, p_stride): Rows, (q, q_stride): Rows, height: usize) -> [f64; LANES] {
    let mut sums = [[0.0; LANES]; S];
    for r in 0..height {
        let (p, q) = (&p[r * p_stride..][..S * LANES], &q[r * q_stride..][..S * LANES]);
        for s in 0..S {
            for k in 0..LANES {
                sums[s][k] = p[s * LANES + k].mul_add(q[s * LANES + k], sums[s][k]);
            }
        }
    }
    let mut total = sums[0];
    for sums in &sums[1..] {
        for k in 0..LANES {
            total[k] += sums[k];
        }
    }
    total
}

/// [`multiply`] for rows of any length.
#[inline(always)]
fn multiply_any((p, p_stride): Rows, (q, q_stride): Rows, height: usize, n: usize) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    for r in 0..height {
        for (k, (p, q)) in p[r * p_stride..][..n].iter().zip(&q[r * q_stride..][..n]).enumerate() {
            sums[k % LANES] = p.mul_add(*q, sums[k % LANES]);
        }
    }
    sums
}

/// Where the overlap of two boxes begins in each, the second one being `d` further on.
#[inline(always)]
fn first(d: i32) -> (usize, usize) {
    (d.max(0) as usize, (-d).max(0) as usize)
}

/// Fills the row of one spot: its products with the spots of its fibre and of those to the right.
#[inline(always)]
fn couple(a: &Projection, (f, i): (usize, usize), weighted: &Weighted, half: usize, block: &mut [f64]) {
    for (d, row) in block.chunks_exact_mut(2 * half + 1).enumerate().take(a.nfiber - f) {
        let end = if d == 0 { i + 1 } else { (i + half + 1).min(a.nwave) };
        for j in i.saturating_sub(half)..end {
            if let Some(other) = a.column(f + d, j) {
                row[j + half - i] = weighted.product(a.size, other);
            }
        }
    }
}

/// One more than the largest distance between fibres whose spots may share a column of pixels.
fn reach(a: &Projection) -> usize {
    let touch = |d: usize| {
        (0..a.nfiber - d).any(|f| {
            (0..a.nwave).any(|i| match (a.corner(f, i), a.corner(f + d, i)) {
                // a spot's column changes by far less than one pixel over the rows that spots share
                (Some(p), Some(q)) => (q.0 - p.0).unsigned_abs() as usize <= a.size.0,
                _ => false,
            })
        })
    };
    (1..a.nfiber).find(|&d| !touch(d)).unwrap_or(a.nfiber)
}

/// The largest distance between bins whose spots share a row of pixels.
fn half_width(a: &Projection, reach: usize) -> usize {
    let touch = |k: usize| {
        (0..a.nfiber).any(|f| {
            (f..(f + reach).min(a.nfiber)).any(|g| {
                (0..a.nwave - k).any(|i| {
                    let meet = |p: Option<(i32, i32)>, q: Option<(i32, i32)>| match (p, q) {
                        (Some(p), Some(q)) => ((q.1 - p.1).unsigned_abs() as usize) < a.size.1,
                        _ => false,
                    };
                    meet(a.corner(f, i), a.corner(g, i + k)) || meet(a.corner(f, i + k), a.corner(g, i))
                })
            })
        })
    };
    (1..a.nwave).find(|&k| !touch(k)).map_or(a.nwave.saturating_sub(1), |k| k - 1)
}
