//! Light scattered between the bundles of fibres: measured where no fibre shines, and subtracted.

use datamodel::mask::ccd;
use ndarray::Array2;
use numerics::robust;
use psf::Psf;

/// Columns beside a trace that its own light reaches.
const BORDER: f64 = 7.5;
/// Rows of the running median along a gap.
const SMOOTH_ROWS: usize = 401;
/// Rows between two evaluations of a trace, which is smooth.
const STEP: usize = 16;
/// The bright airglow line of O I (vacuum Angstrom) and the rows around it that tell nothing of the others.
const BRIGHT_LINE: f64 = 5578.9;
const BRIGHT_ROWS: f64 = 5.0;

/// A strip without fibres, over all rows of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// First and last column (pixel centres, inclusive) of each row; there may be none.
    pub columns: Vec<(f64, f64)>,
    /// Row of the bright airglow line beside it.
    pub bright_row: Option<f64>,
}

/// The gaps beside and between the bundles of a PSF, in an image of `(ny, nx)`.
pub fn gaps(psf: &Psf, (ny, nx): (usize, usize)) -> Vec<Gap> {
    let bundle = &psf.file().bundle;
    let last = psf.nfiber().saturating_sub(1);
    let ends = (0..last).filter(|&f| bundle[f] != bundle[f + 1]);
    let between = ends.map(|f| (Some(f), Some(f + 1)));
    let sides = std::iter::once((None, Some(0))).chain(between).chain([(Some(last), None)]);
    sides.map(|(before, after)| gap(psf, before, after, (ny, nx))).collect()
}

/// The gap right of fibre `before` and left of fibre `after`.
fn gap(psf: &Psf, before: Option<usize>, after: Option<usize>, (ny, nx): (usize, usize)) -> Gap {
    let trace = |fiber: usize| -> Vec<f64> {
        let at = |y: usize| psf.x(fiber, psf.wavelength(fiber, y as f64));
        let knots: Vec<f64> = (0..=ny.div_ceil(STEP)).map(|k| at(k * STEP)).collect();
        let between = |y: usize| {
            let (k, part) = (y / STEP, (y % STEP) as f64 / STEP as f64);
            knots[k] * (1.0 - part) + knots[k + 1] * part
        };
        (0..ny).map(between).collect()
    };
    let left = before.map_or_else(|| vec![0.0; ny], |f| trace(f).into_iter().map(|x| x + BORDER).collect());
    let right = after.map_or_else(|| vec![nx as f64 - 1.0; ny], |f| trace(f).into_iter().map(|x| x - BORDER).collect());
    let inside = |x: f64| x.clamp(-1.0, nx as f64);
    let columns =
        left.into_iter().zip(right).map(|(l, r)| (inside(l).max(0.0), inside(r).min(nx as f64 - 1.0))).collect();
    let traces = &psf.file().x;
    let bright_row = before
        .or(after)
        .filter(|_| (traces.wavemin..traces.wavemax).contains(&BRIGHT_LINE))
        .map(|f| psf.y(f, BRIGHT_LINE));
    Gap { columns, bright_row }
}

/// Scattered light in electrons: along each gap the running median of the rows' medians, between gaps linear.
/// Masked pixels do not count; without any gap it is 0.
pub fn light(pix: &Array2<f32>, mask: &Array2<u32>, gaps: &[Gap]) -> Array2<f32> {
    let (ny, nx) = pix.dim();
    let levels: Vec<Vec<f64>> = gaps.iter().map(|gap| levels(pix, mask, gap)).collect();
    let mut out = Array2::zeros((ny, nx));
    for (y, mut row) in out.rows_mut().into_iter().enumerate() {
        let centre = |gap: &Gap| 0.5 * (gap.columns[y].0 + gap.columns[y].1);
        let known: Vec<(f64, f64)> =
            gaps.iter().zip(&levels).map(|(g, l)| (centre(g), l[y])).filter(|p| p.1.is_finite()).collect();
        let (Some(first), Some(last)) = (known.first(), known.last()) else { continue };
        let mut next = 0;
        for (x, value) in row.iter_mut().enumerate() {
            let x = x as f64;
            while next < known.len() && known[next].0 < x {
                next += 1;
            }
            *value = match next {
                0 => first.1,
                n if n == known.len() => last.1,
                n => {
                    let (a, b) = (known[n - 1], known[n]);
                    a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0)
                }
            } as f32;
        }
    }
    out
}

/// Smoothed level of each row of a gap; NaN where there is none near.
fn levels(pix: &Array2<f32>, mask: &Array2<u32>, gap: &Gap) -> Vec<f64> {
    let bright = |y: usize| gap.bright_row.is_some_and(|b| (y as f64 - b).abs() <= BRIGHT_ROWS);
    let of_row = |(y, &(left, right)): (usize, &(f64, f64))| {
        let columns = left.ceil() as usize..(right.floor() + 1.0).max(left.ceil()) as usize;
        let good = columns.filter(|&x| mask[[y, x]] & !ccd::BADREADNOISE == 0);
        let values: Vec<f64> = good.map(|x| f64::from(pix[[y, x]])).collect();
        if bright(y) { None } else { robust::median(&values) }
    };
    let medians: Vec<Option<f64>> = gap.columns.iter().enumerate().map(of_row).collect();
    let values: Vec<f64> = medians.iter().map(|m| m.unwrap_or(0.0)).collect();
    let known: Vec<bool> = medians.iter().map(Option::is_some).collect();
    robust::running_median(&values, &known, SMOOTH_ROWS)
}
