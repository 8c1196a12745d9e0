//! Spectra onto the CCD: every wavelength of every fibre leaves its spot.

use crate::grid::WaveGrid;
use ndarray::{Array2, ArrayView1, ArrayView2, s};
use psf::{Psf, Spot};
use rayon::prelude::*;

/// An unresolved line: its wavelength (Angstrom) and its electrons in every fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Vacuum wavelength, Angstrom.
    pub wave: f64,
    /// Electrons per fibre.
    pub electrons: Vec<f64>,
}

/// What a fibre strip of the image covers.
struct Strip {
    x0: usize,
    light: Array2<f64>,
}

/// Expected electrons `[ny, nx]` of spectra `density` (electron per Angstrom, `[nfiber, grid.len]`) and of
/// unresolved `lines`. The light of a spot that falls beside the CCD is lost.
pub fn project(psf: &Psf, grid: &WaveGrid, density: ArrayView2<f64>, lines: &[Line]) -> Array2<f64> {
    let (ny, nx) = psf.file().npix;
    // fibres are independent; a strip each, added in the fibres' order, so that threads change nothing
    let strips: Vec<Strip> =
        (0..psf.nfiber()).into_par_iter().map(|f| strip(psf, f, grid, density.row(f), lines, (ny, nx))).collect();
    let mut image = Array2::zeros((ny, nx));
    for strip in strips {
        let mut part = image.slice_mut(s![.., strip.x0..strip.x0 + strip.light.ncols()]);
        part += &strip.light;
    }
    image
}

fn strip(
    psf: &Psf,
    fiber: usize,
    grid: &WaveGrid,
    density: ArrayView1<f64>,
    lines: &[Line],
    (ny, nx): (usize, usize),
) -> Strip {
    let (x0, x1) = columns(psf, fiber, grid, nx);
    let mut light = Array2::zeros((ny, x1 - x0));
    for (i, &value) in density.iter().enumerate().filter(|(_, v)| **v != 0.0) {
        add(&mut light, x0, &psf.spot(fiber, grid.wave(i)), value * grid.step);
    }
    for line in lines.iter().filter(|l| l.electrons[fiber] != 0.0) {
        add(&mut light, x0, &psf.spot(fiber, line.wave), line.electrons[fiber]);
    }
    Strip { x0, light }
}

/// First column and the one after the last that a fibre's spots reach.
fn columns(psf: &Psf, fiber: usize, grid: &WaveGrid, nx: usize) -> (usize, usize) {
    let xs = (0..=64).map(|i| psf.x(fiber, grid.start + grid.step * grid.len as f64 * f64::from(i) / 64.0));
    let (min, max) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let half = psf.file().half_size.0 as f64 + 2.0;
    let clip = |x: f64| x.clamp(0.0, nx as f64) as usize;
    (clip(min - half), clip(max + half + 1.0))
}

fn add(light: &mut Array2<f64>, x0: usize, spot: &Spot, electrons: f64) {
    let (ny, nx) = light.dim();
    let left = (spot.x0 - x0 as i64).max(0);
    let right = (spot.x0 + spot.nx as i64 - x0 as i64).min(nx as i64);
    if left >= right {
        return;
    }
    let skip = (left + x0 as i64 - spot.x0) as usize;
    for (y, values) in (spot.y0..).zip(spot.values.chunks_exact(spot.nx)).filter(|(y, _)| (0..ny as i64).contains(y)) {
        let mut row = light.row_mut(y as usize);
        let part = &mut row.as_slice_mut().unwrap_or_default()[left as usize..right as usize];
        part.iter_mut().zip(&values[skip..]).for_each(|(p, v)| *p += electrons * v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instrument::Instrument, optics};
    use datamodel::{Band, Camera};

    fn camera() -> (Psf, WaveGrid) {
        let instrument = Instrument::load("mini").unwrap();
        let file = optics::true_psf(&instrument, Camera::new(Band::R, 0), 3).unwrap();
        let grid = WaveGrid::covering(Band::R, (file.x.wavemin, file.x.wavemax));
        (Psf::new(file).unwrap(), grid)
    }

    #[test]
    fn electrons_are_conserved() {
        let (psf, grid) = camera();
        let mut density = Array2::zeros((50, grid.len));
        // all on the CCD: 6000 to 7000 Angstrom
        for f in 0..50 {
            for i in 0..grid.len {
                if (6000.0..7000.0).contains(&grid.wave(i)) {
                    density[[f, i]] = 100.0 + f as f64;
                }
            }
        }
        let lines = [Line { wave: 6543.21, electrons: vec![1e4; 50] }, Line { wave: 100.0, electrons: vec![0.0; 50] }];
        let image = project(&psf, &grid, density.view(), &lines);
        let expected = density.sum() * grid.step + 50.0 * 1e4;
        assert!((image.sum() / expected - 1.0).abs() < 1e-12, "{} {expected}", image.sum());
    }

    #[test]
    fn a_line_falls_on_its_trace_and_threads_change_nothing() {
        let (psf, grid) = camera();
        let mut electrons = vec![0.0; 50];
        electrons[30] = 1000.0;
        let lines = [Line { wave: 6600.0, electrons }];
        let run = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| project(&psf, &grid, Array2::ones((50, grid.len)).view(), &lines))
        };
        let (one, four) = (run(1), run(4));
        assert_eq!(one, four);
        let line = one - project(&psf, &grid, Array2::ones((50, grid.len)).view(), &[]);
        let (mut sx, mut sy, total) = (0.0, 0.0, line.sum());
        line.indexed_iter().for_each(|((y, x), v)| {
            sx += v * x as f64;
            sy += v * y as f64;
        });
        // the first-order Hermite terms move a spot by about a hundredth of its width
        assert!((sx / total - psf.x(30, 6600.0)).abs() < 0.03 && (sy / total - psf.y(30, 6600.0)).abs() < 0.03);
    }
}
