//! Light of a point source that misses a fibre whose positioner is off: the sky and the lamp fill the fibre,
//! a star does not.

use datamodel::Fibermap;

/// Seeing of a median night at Kitt Peak, full width at half maximum, arcsec.
pub const MEDIAN_SEEING: f64 = 1.1;
/// Diameter of DESI's fibres in micrometres, and micrometres per arcsec on its focal surface (DESI
/// Collaboration 2022, AJ 164, 207).
const FIBER_DIAMETER: f64 = 107.0;
const PLATE_SCALE: f64 = 70.4;
/// A source that loses more than this is not worth a correction.
const LEAST: f64 = 0.01;

/// FLAT_TO_PSF_FLUX of each fibre: the factor that brings the flux of a point source to that in a centred
/// fibre. 1 for sky fibres and where the fibermap has no DELTA_X and DELTA_Y (mm); 0 where (almost) no light
/// of the source gets in.
pub fn point_source_correction(fibermap: &Fibermap, seeing: f64) -> Vec<f64> {
    let column = |name: &str| fibermap.table.floats(name);
    let (Some(dx), Some(dy)) = (column("DELTA_X"), column("DELTA_Y")) else {
        return vec![1.0; fibermap.len()];
    };
    let sigma = seeing / 2.354_82 * PLATE_SCALE;
    let centred = share(0.0, sigma);
    let correction = |(x, y): (&f64, &f64)| {
        let offset = 1000.0 * x.hypot(*y);
        let relative = if offset.is_finite() { share(offset, sigma) / centred } else { 1.0 };
        if relative > LEAST { 1.0 / relative } else { 0.0 }
    };
    let all = dx.iter().zip(&dy).map(correction);
    all.zip(fibermap.is_sky()).map(|(p, sky)| if sky { 1.0 } else { p }).collect()
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
}
