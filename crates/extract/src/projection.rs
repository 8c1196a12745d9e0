//! The matrix `A` of the model `p = A f`: column `(fibre, bin)` is the spot of a fibre at a wavelength.

use crate::grid::Grid;
use psf::{Psf, Scratch};
use rayon::prelude::*;
use std::ops::Range;

/// Step of the products of spots, which may read that many values beyond a row.
pub(crate) const LANES: usize = 8;

/// The spots of some neighbouring fibres on a wavelength grid.
#[derive(Debug, Clone)]
pub struct Projection {
    /// Number of fibres.
    pub nfiber: usize,
    /// Number of bins.
    pub nwave: usize,
    /// Columns and rows of a spot.
    pub size: (usize, usize),
    /// Rows and columns of the image.
    image: (usize, usize),
    /// First pixel `(x, y)` of each spot, `[nfiber, nwave]`; `None` where the PSF or the image do not cover the bin.
    corners: Vec<Option<(i32, i32)>>,
    /// `[nfiber, nwave, ny, nx]`; each spot sums to 1. [`LANES`] zeros follow.
    values: Vec<f64>,
}

/// One column of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// First pixel, may lie off the image.
    pub x0: i32,
    /// First row, may lie off the image.
    pub y0: i32,
    /// `[ny, nx]`, and [`LANES`] more values of no meaning.
    pub values: &'a [f64],
}

impl Projection {
    /// Evaluates the spots of `fibers` on `grid` for an image of `(ny, nx)` pixels.
    pub fn new(psf: &Psf, fibers: Range<usize>, grid: &Grid, image: (usize, usize)) -> Self {
        Self::in_memory_of(Vec::new(), psf, fibers, grid, image)
    }

    /// The memory of the spots, to be used again: asking the system for it costs as much as filling it.
    pub fn into_memory(self) -> Vec<f64> {
        self.values
    }

    /// [`Projection::new`] in given memory.
    pub fn in_memory_of(
        mut values: Vec<f64>,
        psf: &Psf,
        fibers: Range<usize>,
        grid: &Grid,
        image: (usize, usize),
    ) -> Self {
        let size = psf.box_size();
        let area = size.0 * size.1;
        let (nfiber, nwave) = (fibers.len(), grid.n);
        let mut corners = vec![None; nfiber * nwave];
        values.resize(nfiber * nwave * area + LANES, 0.0);
        let covered = wavelength_range(psf);
        let spots = &mut values[..nfiber * nwave * area];
        spots.par_chunks_mut(nwave * area).zip(corners.par_chunks_mut(nwave)).enumerate().for_each(
            |(k, (values, corners))| {
                let mut scratch = Scratch::default();
                for (i, (value, corner)) in values.chunks_exact_mut(area).zip(corners).enumerate() {
                    let wave = grid.wave(i);
                    if !covered.contains(&wave) {
                        continue;
                    }
                    let (x0, y0) = psf.spot_into(fibers.start + k, wave, &mut scratch, value);
                    let (x0, y0) = (x0 as i32, y0 as i32);
                    let inside = |p: i32, n: usize, limit: usize| p < limit as i32 && p + n as i32 > 0;
                    *corner = (inside(x0, size.0, image.1) && inside(y0, size.1, image.0)).then_some((x0, y0));
                }
            },
        );
        Self { nfiber, nwave, size, image, corners, values }
    }

    /// The spot of a fibre (counted from the first of the projection) in a bin, if it is covered.
    pub fn column(&self, fiber: usize, bin: usize) -> Option<Column<'_>> {
        let at = fiber * self.nwave + bin;
        let area = self.size.0 * self.size.1;
        self.corners[at].map(|(x0, y0)| Column { x0, y0, values: &self.values[at * area..(at + 1) * area + LANES] })
    }

    /// First pixel of a spot, if the bin is covered.
    pub fn corner(&self, fiber: usize, bin: usize) -> Option<(i32, i32)> {
        self.corners[fiber * self.nwave + bin]
    }

    /// The columns of the image that the spots touch.
    pub fn columns(&self) -> Range<usize> {
        let x0 = || self.corners.iter().flatten().map(|c| c.0);
        let first = x0().min().unwrap_or(0).max(0) as usize;
        let last = (x0().max().unwrap_or(0) + self.size.0 as i32).clamp(0, self.image.1 as i32) as usize;
        first.min(last)..last
    }

    /// Calls `visit(y, x, values, (r, c))` for each row of a spot that lies on the image: `values` belong to the
    /// pixels of row `y` from column `x` on, which is row `r` of the spot from its column `c` on.
    #[inline(always)]
    pub fn for_rows(&self, column: Column<'_>, mut visit: impl FnMut(usize, usize, &[f64], (usize, usize))) {
        let (nx, ny) = self.size;
        let clip = |p0: i32, n: usize, limit: usize| {
            let first = (-p0).max(0) as usize;
            let end = (limit as i32 - p0).clamp(0, n as i32) as usize;
            first.min(end)..end
        };
        let (rows, cols) = (clip(column.y0, ny, self.image.0), clip(column.x0, nx, self.image.1));
        for r in rows {
            let (y, x) = (column.y0 + r as i32, column.x0 + cols.start as i32);
            visit(y as usize, x as usize, &column.values[r * nx + cols.start..r * nx + cols.end], (r, cols.start));
        }
    }
}

/// Wavelengths at which every series of the PSF is defined, Angstrom.
pub fn wavelength_range(psf: &Psf) -> std::ops::RangeInclusive<f64> {
    let file = psf.file();
    file.wavemin.max(file.x.wavemin).max(file.y.wavemin)..=file.wavemax.min(file.x.wavemax).min(file.y.wavemax)
}
