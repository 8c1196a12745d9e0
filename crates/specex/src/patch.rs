//! The part of the image that shows a bundle, with its weights, and boxes of pixels in it.

use crate::model::Model;
use datamodel::{Image, mask::ccd};

/// A box of pixels inside a patch: first column and row in the patch, and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub nx: usize,
    /// Rows.
    pub ny: usize,
}

/// Columns `x0..x0+nx` of an image; arrays are `[ny, nx]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// First column of the image.
    pub x0: usize,
    /// Rows.
    pub ny: usize,
    /// Columns.
    pub nx: usize,
    /// Electrons.
    pub data: Vec<f64>,
    /// Variance of the read noise and of light that was taken off, electron^2.
    pub noise: Vec<f64>,
    /// Pixels that may be used.
    pub good: Vec<bool>,
}

impl Patch {
    /// Cuts out columns `x0..x1`, cut at the image's edges.
    pub fn new(image: &Image, x0: i64, x1: i64) -> Self {
        let (ny, width) = image.pix.dim();
        let x0 = x0.clamp(0, width as i64) as usize;
        let nx = (x1.clamp(0, width as i64) as usize).saturating_sub(x0);
        let columns = || (0..ny).flat_map(|y| (x0..x0 + nx).map(move |x| (y, x)));
        Self {
            x0,
            ny,
            nx,
            data: columns().map(|p| f64::from(image.pix[p])).collect(),
            noise: columns().map(|p| f64::from(image.readnoise[p]).powi(2).max(1e-6)).collect(),
            good: columns()
                .map(|p| image.ivar[p] > 0.0 && image.mask[p] & !ccd::BADREADNOISE == 0 && image.readnoise[p] > 0.0)
                .collect(),
        }
    }

    /// Takes known light (electrons in every pixel) off the image; its photons stay in the variance.
    pub fn take_off(&mut self, light: &[f64]) {
        self.data.iter_mut().zip(light).for_each(|(d, l)| *d -= l);
        self.noise.iter_mut().zip(light).for_each(|(n, l)| *n += l.max(0.0));
    }

    /// The box of pixels within `half` of a point of the image, `None` if no part of it is in the patch.
    pub fn window(&self, (x, y): (f64, f64), half: (usize, usize)) -> Option<Window> {
        let range = |centre: f64, half: usize, size: usize| {
            let middle = centre.round() as i64;
            let first = (middle - half as i64).clamp(0, size as i64);
            let end = (middle + half as i64 + 1).clamp(0, size as i64);
            (first as usize, (end - first) as usize)
        };
        let (wx, nx) = range(x - self.x0 as f64, half.0, self.nx);
        let (wy, ny) = range(y, half.1, self.ny);
        (nx > 0 && ny > 0).then_some(Window { x: wx, y: wy, nx, ny })
    }

    /// First pixel of a window in the image's coordinates.
    pub fn corner(&self, window: Window) -> (i64, i64) {
        ((self.x0 + window.x) as i64, window.y as i64)
    }

    /// Ranges of the patch's arrays that hold the rows of a window.
    pub fn rows(&self, window: Window) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let nx = self.nx;
        (window.y..window.y + window.ny).map(move |y| y * nx + window.x..y * nx + window.x + window.nx)
    }

    /// Sum of the model's spots, within `half` of each.
    pub fn render(&self, model: &Model, half: (usize, usize)) -> Vec<f64> {
        let mut image = vec![0.0; self.data.len()];
        for fiber in 0..model.nfiber {
            for line in (0..model.nline()).filter(|l| model.active[model.spot(fiber, *l)]) {
                let centre = model.centre(fiber, line);
                let Some(window) = self.window(centre, half) else { continue };
                let flux = model.flux[model.spot(fiber, line)];
                let values =
                    model.spot_shape(fiber, line).integrate(centre, self.corner(window), (window.nx, window.ny));
                for (row, range) in values.chunks_exact(window.nx).zip(self.rows(window)) {
                    image[range].iter_mut().zip(row).for_each(|(o, v)| *o += flux * v);
                }
            }
        }
        image
    }
}
