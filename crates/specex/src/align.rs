//! How far the image is from the first guess: the mean picture of many spots shows the shift of a bundle.

use crate::model::Model;
use crate::patch::Patch;
use numerics::robust;

/// Half size of the picture in x and y, pixels.
const HALF: (i64, i64) = (5, 13);
/// Largest shift that is believed, pixels: half a fibre's pitch in x.
const LARGEST: (f64, f64) = (3.5, 10.0);
/// A spot takes part if its brightest pixel is this many sigmas.
const THRESHOLD: f64 = 15.0;
/// Fewest spots that make a picture.
const FEWEST: usize = 30;

/// Shift `(dx, dy)` in pixels from the first guess to the image; `None` where too few spots are seen.
pub fn shift(patch: &Patch, model: &Model) -> Option<(f64, f64)> {
    let (nx, ny) = ((2 * HALF.0 + 1) as usize, (2 * HALF.1 + 1) as usize);
    let mut picture = vec![0.0; nx * ny];
    let mut count = 0;
    for fiber in 0..model.nfiber {
        for line in 0..model.nline() {
            let centre = model.centre(fiber, line);
            let Some(cutout) = cutout(patch, centre, (nx, ny)) else { continue };
            picture.iter_mut().zip(&cutout).for_each(|(p, c)| *p += c);
            count += 1;
        }
    }
    if count < FEWEST {
        return None;
    }
    peak(&picture, nx, ny)
}

/// Pixels around a point as fractions of the brightest; `None` off the patch or where nothing stands out.
fn cutout(patch: &Patch, (x, y): (f64, f64), (nx, ny): (usize, usize)) -> Option<Vec<f64>> {
    let first = (x.round() as i64 - patch.x0 as i64 - HALF.0, y.round() as i64 - HALF.1);
    let mut values = Vec::with_capacity(nx * ny);
    let mut noise = 0.0f64;
    for row in 0..ny as i64 {
        for column in 0..nx as i64 {
            let (px, py) = (first.0 + column, first.1 + row);
            let inside = px >= 0 && py >= 0 && px < patch.nx as i64 && py < patch.ny as i64;
            let at = if inside { py as usize * patch.nx + px as usize } else { 0 };
            let usable = inside && patch.good[at];
            values.push(if usable { patch.data[at] } else { 0.0 });
            noise = noise.max(if usable { patch.noise[at] } else { 0.0 });
        }
    }
    let level = robust::percentile(&values, 30.0)?;
    let top = values.iter().copied().fold(0.0, f64::max) - level;
    if noise == 0.0 || top < THRESHOLD * noise.sqrt() {
        return None;
    }
    // the fraction of a pixel that rounding left is put back in [`peak`]'s accuracy: it averages out
    Some(values.iter().map(|v| ((v - level) / top).max(0.0)).collect())
}

/// Light-weighted centre of the highest peak of the smoothed picture, relative to the middle.
fn peak(picture: &[f64], nx: usize, ny: usize) -> Option<(f64, f64)> {
    let level = robust::median(picture)?;
    let at = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < nx as i64 && y < ny as i64;
        if inside { (picture[y as usize * nx + x as usize] - level).max(0.0) } else { 0.0 }
    };
    let around = |x: i64, y: i64| (-1..=1).flat_map(move |j| (-1..=1).map(move |i| (x + i, y + j)));
    let light = |x: i64, y: i64| around(x, y).map(|(i, j)| at(i, j)).sum::<f64>();
    let all = (0..ny as i64).flat_map(|y| (0..nx as i64).map(move |x| (x, y)));
    let near =
        all.filter(|(x, y)| ((x - HALF.0) as f64).abs() <= LARGEST.0 && ((y - HALF.1) as f64).abs() <= LARGEST.1);
    let (x, y) = near.max_by(|a, b| light(a.0, a.1).total_cmp(&light(b.0, b.1)))?;
    let total = light(x, y);
    if total <= 0.0 {
        return None;
    }
    let mean = |axis: fn((i64, i64)) -> i64| around(x, y).map(|p| axis(p) as f64 * at(p.0, p.1)).sum::<f64>() / total;
    Some((mean(|p| p.0) - HALF.0 as f64, mean(|p| p.1) - HALF.1 as f64))
}
