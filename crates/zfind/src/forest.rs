//! Absorption by the intergalactic medium, cut at the Lyman lines of the source: between two lines the
//! transmission depends on the observed wavelength alone, whatever the redshift.

use templates::{Igm, igm::transmission};

/// Lyman alpha to epsilon, vacuum Angstrom (Calura et al. 2012).
const SERIES: [f64; 5] = [1215.67, 1025.72, 972.537, 949.7431, 937.8035];

/// Rest wavelengths at which the transmission changes, falling: segment 0 lies redward of the first and is
/// transparent, segment `s` lies between limits `s - 1` and `s`.
pub fn limits(igm: Igm) -> &'static [f64] {
    match igm {
        Igm::None => &[],
        Igm::Kamble20 => &SERIES[..1],
        Igm::Calura12 => &SERIES,
    }
}

/// Transmission at an observed wavelength that lies in segment `segment` (1 or more) at rest.
pub fn segment_transmission(igm: Igm, segment: usize, observed: f64) -> f64 {
    let limits = limits(igm);
    let upper = limits[segment - 1];
    let lower = limits.get(segment).copied().unwrap_or(0.9 * upper);
    transmission(igm, observed / (0.5 * (upper + lower)) - 1.0, observed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_reproduce_the_transmission_at_any_redshift() {
        for igm in [Igm::Kamble20, Igm::Calura12] {
            for z in [2.1, 2.9, 4.4] {
                for observed in (3600..6000).step_by(13).map(f64::from) {
                    let segment = limits(igm).iter().filter(|l| observed / (1.0 + z) < **l).count();
                    let t = if segment == 0 { 1.0 } else { segment_transmission(igm, segment, observed) };
                    assert!((t - transmission(igm, z, observed)).abs() < 1e-14);
                }
            }
        }
    }
}
