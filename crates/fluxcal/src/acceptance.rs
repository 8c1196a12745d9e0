//! Light of a point source that misses a fibre whose positioner is off: the sky and the lamp fill the fibre,
//! a star does not.

use datamodel::{Fibermap, Frame};
use numerics::robust;

/// Seeing of a median night at Kitt Peak and its scatter from night to night, full width at half maximum, arcsec.
const MEDIAN_SEEING: f64 = 1.1;
const SEEING_SCATTER: f64 = 0.3;
/// Seeing that a star's light is compared with: range and step, arcsec.
const SEEING_RANGE: (f64, f64) = (0.6, 2.5);
const SEEING_STEP: f64 = 0.05;
/// Error of a star's grey factor that is not its positioner's: photometry, model, flat.
const GREY_ERROR: f64 = 0.04;
/// Diameter of DESI's fibres in micrometres, and micrometres per arcsec on its focal surface (DESI
/// Collaboration 2022, AJ 164, 207).
const FIBER_DIAMETER: f64 = 107.0;
const PLATE_SCALE: f64 = 70.4;
/// A source that loses more than this is not worth a correction.
const LEAST: f64 = 0.01;

/// Distance of each fibre from its target in micrometres; `None` where the fibermap has no DELTA_X and DELTA_Y (mm).
fn offsets(fibermap: &Fibermap) -> Option<Vec<f64>> {
    let (x, y) = (fibermap.table.floats("DELTA_X")?, fibermap.table.floats("DELTA_Y")?);
    Some(x.iter().zip(&y).map(|(x, y)| 1000.0 * x.hypot(*y)).collect())
}

/// The seeing of an exposure, arcsec: keyword SEEING, else what explains best how much light stars lose by
/// the offsets of their fibres, given `(row, grey factor)`. Where offsets are small that says nothing and the
/// median of the site is left.
pub fn seeing(frame: &Frame, stars: &[(usize, f64)]) -> f64 {
    let known = frame.header.float("SEEING").filter(|s| *s > SEEING_RANGE.0 && *s < SEEING_RANGE.1);
    let (None, Some(offsets)) = (known, offsets(&frame.fibermap)) else { return known.unwrap_or(MEDIAN_SEEING) };
    let usable: Vec<(f64, f64)> =
        stars.iter().map(|&(row, scale)| (offsets[row], scale)).filter(|(d, s)| d.is_finite() && *s > 0.0).collect();
    let chi2 = |seeing: f64| {
        let sigma = width(seeing);
        let residual = |&(d, scale): &(f64, f64)| (scale / share(d, sigma).max(1e-9)).ln();
        let residuals: Vec<f64> = usable.iter().map(residual).collect();
        let mean = robust::median(&residuals).unwrap_or(0.0);
        // a star that lost its light otherwise counts no more than one that is 3 sigma off
        let of_star = |r: &f64| ((r - mean) / GREY_ERROR).powi(2).min(9.0);
        residuals.iter().map(of_star).sum::<f64>() + ((seeing - MEDIAN_SEEING) / SEEING_SCATTER).powi(2)
    };
    let steps = ((SEEING_RANGE.1 - SEEING_RANGE.0) / SEEING_STEP).round() as usize;
    let trials = (0..=steps).map(|k| SEEING_RANGE.0 + SEEING_STEP * k as f64);
    trials.map(|s| (chi2(s), s)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(MEDIAN_SEEING, |(_, s)| s)
}

/// Rms radius along an axis of a Gaussian image, micrometres.
fn width(seeing: f64) -> f64 {
    seeing / 2.354_82 * PLATE_SCALE
}

/// FLAT_TO_PSF_FLUX of each fibre: the factor that brings the flux of a point source to that in a centred
/// fibre. 1 for sky fibres and where the fibermap has no DELTA_X and DELTA_Y (mm); 0 where (almost) no light
/// of the source gets in.
pub fn point_source_correction(fibermap: &Fibermap, seeing: f64) -> Vec<f64> {
    let Some(offsets) = offsets(fibermap) else { return vec![1.0; fibermap.len()] };
    let sigma = width(seeing);
    let centred = share(0.0, sigma);
    let correction = |offset: f64| {
        let relative = if offset.is_finite() { share(offset, sigma) / centred } else { 1.0 };
        if relative > LEAST { 1.0 / relative } else { 0.0 }
    };
    offsets.into_iter().zip(fibermap.is_sky()).map(|(d, sky)| if sky { 1.0 } else { correction(d) }).collect()
}

/// Share of a Gaussian image of width `sigma` that falls on a fibre at distance `offset` (micrometres):
/// midpoint rule in polar coordinates around the fibre's axis.
fn share(offset: f64, sigma: f64) -> f64 {
    const RINGS: usize = 40;
    const ANGLES: usize = 24;
    let step = 0.5 * FIBER_DIAMETER / RINGS as f64;
    let density = |r: f64, angle: f64| {
        let square = r * r + offset * offset - 2.0 * r * offset * angle.cos();
        (-0.5 * square / (sigma * sigma)).exp()
    };
    let ring = |k: usize| {
        let r = (k as f64 + 0.5) * step;
        let angles = (0..ANGLES).map(|m| (m as f64 + 0.5) * std::f64::consts::PI / ANGLES as f64);
        r * step * angles.map(|a| density(r, a)).sum::<f64>() / ANGLES as f64
    };
    (0..RINGS).map(ring).sum::<f64>() / (sigma * sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use calibrate::testing::{Instrument, frame_of};
    use datamodel::ColumnData;

    /// A centred aperture holds `1 - exp(-a²/2σ²)` of a Gaussian; far outside a narrow image none.
    #[test]
    fn the_share_is_that_of_a_gaussian_in_a_circle() {
        for sigma in [20.0, 33.0, 60.0] {
            let expected = 1.0 - (-0.5 * (0.5f64 * FIBER_DIAMETER / sigma).powi(2)).exp();
            assert!((share(0.0, sigma) / expected - 1.0).abs() < 1e-3, "{sigma}");
        }
        // an image so narrow that the edge of the fibre looks straight: half at the edge
        assert!((share(0.5 * FIBER_DIAMETER, 4.0) - 0.5).abs() < 0.03);
        assert!(share(200.0, 33.0) < 1e-4);
    }

    /// Stars off their fibres by up to 60 micrometres tell the seeing; centred ones do not, and the header comes first.
    #[test]
    fn stars_off_their_fibres_tell_the_seeing() {
        let instrument = Instrument::new(8, 10, 5);
        let mut frame = frame_of(&instrument, &vec![vec![1.0; 10]; 8], 0.0, 1);
        let mut place = |scale: f64| {
            let column = |k: f64| ColumnData::F64((0..8).map(|i| scale * 1e-3 * k * f64::from(i)).collect());
            frame.fibermap.table.set("DELTA_X", "mm", column(0.8)).set("DELTA_Y", "mm", column(-0.6));
            frame.clone()
        };
        let light = |i: usize| share(8.5 * i as f64, width(1.6)) * (1.0 + 0.01 * (i as f64 * 2.4).sin());
        let mut stars: Vec<(usize, f64)> = (0..8).map(|i| (i, light(i))).collect();
        stars[2].1 *= 0.3;
        assert!((seeing(&place(8.5), &stars) - 1.6).abs() < 0.15, "{}", seeing(&place(8.5), &stars));
        assert!((seeing(&place(0.0), &stars) - MEDIAN_SEEING).abs() < 0.06);
        let mut told = place(8.5);
        told.header.set("SEEING", 0.9, "");
        assert_eq!(seeing(&told, &stars), 0.9);
    }
}
