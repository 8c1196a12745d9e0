//! Absorption by the intergalactic medium, cut at the Lyman lines of the source: between two lines the
//! transmission of the series depends on the observed wavelength alone, whatever the redshift.

use std::sync::LazyLock;
use templates::{Igm, igm, inoue};

/// Lyman alpha to epsilon, vacuum Angstrom (Calura et al. 2012).
const SERIES: [f64; 5] = [1215.67, 1025.72, 972.537, 949.7431, 937.8035];

/// All lines of Inoue et al. 2014, and the Lyman limit.
static INOUE: LazyLock<Vec<f64>> =
    LazyLock::new(|| inoue::SERIES.iter().map(|l| l.0).chain([inoue::LYMAN_LIMIT]).collect());

/// The same for the coarse scan, which takes the lines that lie close together as one, and the continuum in steps.
const INOUE_COARSE: [f64; 8] = [
    inoue::SERIES[0].0,
    inoue::SERIES[1].0,
    inoue::SERIES[2].0,
    inoue::SERIES[3].0,
    inoue::SERIES[4].0,
    inoue::LYMAN_LIMIT,
    870.0,
    790.0,
];

/// Rest wavelengths at which the transmission changes, falling: segment 0 lies redward of the first and is
/// transparent, segment `s` lies between limits `s - 1` and `s`.
pub fn limits(igm: Igm) -> &'static [f64] {
    match igm {
        Igm::None => &[],
        Igm::Kamble20 => &SERIES[..1],
        Igm::Calura12 => &SERIES,
        Igm::Inoue14 => &INOUE,
    }
}

/// The limits between which the coarse scan takes the transmission to depend on the observed wavelength alone.
pub fn coarse_limits(igm: Igm) -> &'static [f64] {
    match igm {
        Igm::Inoue14 => &INOUE_COARSE,
        igm => limits(igm),
    }
}

/// Transmission of the lines at an observed wavelength that lies in segment `segment` (1 or more) of [`limits`] at rest.
pub fn segment_transmission(igm: Igm, segment: usize, observed: f64) -> f64 {
    igm::series(igm, middle(limits(igm), segment, observed), observed)
}

/// Whether the transmission in a segment of [`limits`] depends on the redshift too: in the Lyman continuum.
pub fn is_continuum(igm: Igm, segment: usize) -> bool {
    limits(igm).get(segment - 1) == Some(&inoue::LYMAN_LIMIT)
}

/// The whole transmission in the middle of a segment of [`coarse_limits`].
pub fn coarse_transmission(igm: Igm, segment: usize, observed: f64) -> f64 {
    igm::transmission(igm, middle(coarse_limits(igm), segment, observed), observed)
}

/// The redshift at which an observed wavelength lies in the middle of a segment at rest.
fn middle(limits: &[f64], segment: usize, observed: f64) -> f64 {
    let upper = limits[segment - 1];
    let lower = limits.get(segment).copied().unwrap_or(0.9 * upper);
    observed / (0.5 * (upper + lower)) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_reproduce_the_transmission_at_any_redshift() {
        for igm in [Igm::Kamble20, Igm::Calura12, Igm::Inoue14] {
            for z in [2.1, 2.9, 4.4] {
                for observed in (3600..6000).step_by(13).map(f64::from) {
                    let segment = limits(igm).iter().filter(|l| observed / (1.0 + z) < **l).count();
                    let series = if segment == 0 { 1.0 } else { segment_transmission(igm, segment, observed) };
                    let continuum = igm::continuum(igm, z, observed);
                    assert!(continuum == 1.0 || is_continuum(igm, segment));
                    let t = series * continuum;
                    assert!((t - igm::transmission(igm, z, observed)).abs() < 1e-14);
                }
            }
        }
    }

    /// The coarse scan's transmission differs where the continuum is deep and where the lines are many.
    #[test]
    fn the_coarse_transmission_is_near_the_exact_one() {
        for z in [2.1, 2.9, 4.4] {
            for observed in (3600..6000).step_by(13).map(f64::from) {
                let rest = observed / (1.0 + z);
                let segment = coarse_limits(Igm::Inoue14).iter().filter(|l| rest < **l).count();
                let coarse = if segment == 0 { 1.0 } else { coarse_transmission(Igm::Inoue14, segment, observed) };
                let exact = igm::transmission(Igm::Inoue14, z, observed);
                let most = if rest > 937.803 { 1e-14 } else { 0.15 };
                assert!((coarse - exact).abs() < most, "z {z}, {rest} A at rest: {coarse}, not {exact}");
            }
        }
    }
}
