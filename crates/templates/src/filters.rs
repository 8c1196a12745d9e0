//! Pass bands of imaging cameras and AB magnitudes through them.

use numerics::resample;

/// Speed of light, Angstrom/s (SI definition).
const LIGHT: f64 = 2.99792458e18;
/// Flux density of AB magnitude 0, erg/s/cm2/Hz (Oke & Gunn 1983).
const AB_ZERO: f64 = 3.631e-20;
/// Unit of our spectra, erg/s/cm2/Angstrom.
const FLUX_UNIT: f64 = 1e-17;

/// Total throughput of telescope, camera, filter and atmosphere: (wavelength in nm, throughput), linear
/// between the entries and zero outside.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Its name, as in FLUX_G.
    pub name: &'static str,
    curve: &'static [(f64, f64)],
}

// The throughput of DECam at airmass 1.3 as published by CTIO in 2014 (telescope, optics, CCD, filter,
// atmosphere), rounded to 0.005 at the few knots that a magnitude needs. A leak of g beyond 7600 A, 3% of the
// light of the coolest stars, is left out, so that no spectrum needs to reach there.

/// g of the Dark Energy Camera.
pub const DECAM_G: Filter = Filter {
    name: "G",
    curve: &[
        (394.0, 0.0),
        (398.0, 0.12),
        (400.0, 0.135),
        (410.0, 0.165),
        (420.0, 0.19),
        (430.0, 0.22),
        (440.0, 0.245),
        (460.0, 0.28),
        (480.0, 0.305),
        (500.0, 0.33),
        (530.0, 0.36),
        (545.0, 0.365),
        (548.0, 0.14),
        (550.0, 0.065),
        (552.5, 0.005),
    ],
};

/// r of the Dark Energy Camera.
pub const DECAM_R: Filter = Filter {
    name: "R",
    curve: &[
        (552.0, 0.005),
        (561.0, 0.025),
        (564.0, 0.055),
        (569.5, 0.4),
        (580.0, 0.435),
        (590.0, 0.44),
        (610.0, 0.465),
        (630.0, 0.48),
        (650.0, 0.50),
        (680.0, 0.525),
        (686.0, 0.525),
        (688.0, 0.475),
        (692.0, 0.505),
        (704.0, 0.52),
        (712.5, 0.475),
        (718.5, 0.065),
        (722.0, 0.005),
    ],
};

/// z of the Dark Energy Camera.
pub const DECAM_Z: Filter = Filter {
    name: "Z",
    curve: &[
        (836.0, 0.01),
        (844.0, 0.04),
        (848.0, 0.18),
        (852.0, 0.45),
        (855.0, 0.53),
        (870.0, 0.555),
        (890.0, 0.56),
        (900.0, 0.53),
        (920.0, 0.53),
        (928.0, 0.495),
        (933.0, 0.38),
        (950.0, 0.38),
        (970.0, 0.445),
        (980.0, 0.43),
        (993.0, 0.375),
        (1000.0, 0.16),
        (1004.0, 0.03),
        (1008.0, 0.005),
    ],
};

// The throughput of BASS and MzLS at airmass 1.1, which measured the sky north of declination 32 (Zou et al. 2017, PASP 129,
// 064101; Dey et al. 2016, Proc. SPIE 9908, 99082C), rounded to 0.005 at the knots that a colour needs to a millimagnitude; z up to
// 10000 A where star models reach, 2% of it lies beyond.

/// g of the Beijing-Arizona Sky Survey.
pub const BASS_G: Filter = Filter {
    name: "G",
    curve: &[
        (391.0, 0.005),
        (393.0, 0.025),
        (403.0, 0.37),
        (406.0, 0.44),
        (409.0, 0.48),
        (423.0, 0.56),
        (451.0, 0.62),
        (454.0, 0.605),
        (455.0, 0.59),
        (458.0, 0.58),
        (481.0, 0.67),
        (487.0, 0.665),
        (511.0, 0.685),
        (532.0, 0.66),
        (540.0, 0.61),
        (543.0, 0.62),
        (545.0, 0.63),
        (546.0, 0.615),
        (547.0, 0.535),
        (549.0, 0.265),
        (551.0, 0.125),
        (553.0, 0.075),
        (556.0, 0.025),
        (561.5, 0.005),
    ],
};

/// r of the Beijing-Arizona Sky Survey.
pub const BASS_R: Filter = Filter {
    name: "R",
    curve: &[
        (561.0, 0.005),
        (563.0, 0.015),
        (565.0, 0.055),
        (566.0, 0.095),
        (571.0, 0.555),
        (572.0, 0.615),
        (574.0, 0.685),
        (576.0, 0.705),
        (583.0, 0.715),
        (585.0, 0.725),
        (631.0, 0.72),
        (636.0, 0.735),
        (670.0, 0.735),
        (678.0, 0.745),
        (690.0, 0.695),
        (691.0, 0.71),
        (693.0, 0.725),
        (698.0, 0.74),
        (703.0, 0.73),
        (706.0, 0.695),
        (708.0, 0.63),
        (715.0, 0.18),
        (716.0, 0.14),
        (719.0, 0.06),
        (723.0, 0.02),
        (730.0, 0.005),
    ],
};

/// z of the Mayall z-band Legacy Survey.
pub const MZLS_Z: Filter = Filter {
    name: "Z",
    curve: &[
        (834.0, 0.005),
        (841.0, 0.015),
        (845.0, 0.04),
        (847.0, 0.065),
        (861.0, 0.495),
        (863.0, 0.51),
        (868.0, 0.515),
        (881.0, 0.51),
        (917.0, 0.445),
        (922.0, 0.46),
        (938.0, 0.33),
        (942.0, 0.37),
        (973.0, 0.395),
        (988.0, 0.365),
        (992.0, 0.36),
        (1000.0, 0.175),
    ],
};

// The passbands of Gaia's early third release (Riello et al. 2021, A&A 649, A3), rounded to 0.005 at the knots that a
// magnitude needs, from 3500 to 10000 A where star models reach: 2% of BP and less than 1% of G and RP lie outside.

/// G of Gaia, white light.
pub const GAIA_G: Filter = Filter {
    name: "GAIA_G",
    curve: &[
        (350.0, 0.125),
        (381.0, 0.120),
        (387.0, 0.165),
        (403.0, 0.375),
        (412.0, 0.45),
        (428.0, 0.525),
        (449.0, 0.580),
        (534.0, 0.670),
        (673.0, 0.720),
        (720.0, 0.695),
        (765.0, 0.625),
        (814.0, 0.5),
        (926.0, 0.145),
        (963.0, 0.070),
        (1000.0, 0.025),
    ],
};

/// BP of Gaia, the blue photometer.
pub const GAIA_BP: Filter = Filter {
    name: "GAIA_BP",
    curve: &[
        (350.0, 0.185),
        (353.0, 0.180),
        (361.0, 0.235),
        (378.0, 0.165),
        (383.0, 0.170),
        (388.0, 0.220),
        (399.0, 0.415),
        (406.0, 0.5),
        (415.0, 0.560),
        (428.0, 0.595),
        (449.0, 0.625),
        (481.0, 0.635),
        (575.0, 0.605),
        (593.0, 0.645),
        (608.0, 0.610),
        (629.0, 0.670),
        (642.0, 0.605),
        (654.0, 0.480),
        (659.0, 0.370),
        (667.0, 0.095),
        (671.0, 0.025),
        (676.0, 0.00),
        (696.0, 0.00),
    ],
};

/// RP of Gaia, the red photometer.
pub const GAIA_RP: Filter = Filter {
    name: "GAIA_RP",
    curve: &[
        (609.0, 0.00),
        (620.0, 0.010),
        (624.0, 0.060),
        (627.0, 0.185),
        (632.0, 0.535),
        (634.0, 0.645),
        (636.0, 0.710),
        (638.0, 0.740),
        (644.0, 0.680),
        (673.0, 0.730),
        (739.0, 0.745),
        (814.0, 0.70),
        (836.0, 0.665),
        (889.0, 0.505),
        (964.0, 0.20),
        (1000.0, 0.080),
    ],
};

/// AB magnitude less Gaia's (Vega) magnitude in G, BP and RP (Riello et al. 2021).
pub const GAIA_TO_AB: [f64; 3] = [0.1136, 0.0155, 0.3561];

impl Filter {
    /// Pivot wavelength in Angstrom: the one at which a flux per Angstrom and one per Hertz are converted.
    pub fn pivot(&self) -> f64 {
        let mean = |power: i32| -> f64 {
            let area = |p: &[(f64, f64)]| {
                let (middle, response) = (0.5 * (p[0].0 + p[1].0), 0.5 * (p[0].1 + p[1].1));
                response * middle.powi(power) * (p[1].0 - p[0].0)
            };
            self.curve.windows(2).map(area).sum()
        };
        10.0 * (mean(1) / mean(-1)).sqrt()
    }

    /// Throughput at a wavelength in Angstrom.
    pub fn throughput(&self, wave: f64) -> f64 {
        let nm = 0.1 * wave;
        let next = self.curve.partition_point(|(x, _)| *x <= nm);
        match (next.checked_sub(1).map(|i| self.curve[i]), self.curve.get(next)) {
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (nm - x0) / (x1 - x0),
            _ => 0.0,
        }
    }

    /// AB magnitude of a flux density in 1e-17 erg/s/cm2/Angstrom at ascending wavelengths in Angstrom:
    /// the photon-weighted mean f_nu. `None` if the spectrum lacks more than 2% of the band or its mean flux
    /// is not positive.
    pub fn ab_magnitude(&self, wave: &[f64], flux: &[f64]) -> Option<f64> {
        self.on(wave).ab_magnitude(flux)
    }

    /// The filter on a grid of ascending wavelengths in Angstrom, for the magnitudes of many spectra.
    pub fn on(&self, wave: &[f64]) -> Passband {
        let (mut reference, mut covered) = (0.0, 0.0);
        let mut weights = Vec::with_capacity(wave.len());
        for (w, edges) in wave.iter().zip(resample::bin_edges(wave).windows(2)) {
            let response = self.throughput(*w) * (edges[1] - edges[0]);
            covered += response;
            weights.push(response * w);
            reference += response * AB_ZERO * LIGHT / w;
        }
        let whole: f64 = self.curve.windows(2).map(|p| 5.0 * (p[1].0 - p[0].0) * (p[0].1 + p[1].1)).sum();
        let first = weights.iter().position(|w| *w != 0.0).unwrap_or(weights.len());
        let end = weights.iter().rposition(|w| *w != 0.0).map_or(first, |last| last + 1);
        Passband { first, weights: weights[first..end].to_vec(), reference, is_covered: covered > 0.98 * whole }
    }
}

/// A filter on a grid of wavelengths.
#[derive(Debug, Clone)]
pub struct Passband {
    /// First bin that the filter lets through.
    first: usize,
    /// Photons of a unit flux, from that bin on.
    weights: Vec<f64>,
    /// Those of AB magnitude 0.
    reference: f64,
    is_covered: bool,
}

impl Passband {
    /// [`Filter::ab_magnitude`] of a flux density on the grid.
    pub fn ab_magnitude(&self, flux: &[f64]) -> Option<f64> {
        let mut signal = 0.0;
        for (w, f) in self.weights.iter().zip(&flux[self.first..]) {
            signal += w * f * FLUX_UNIT;
        }
        (signal > 0.0 && self.is_covered).then(|| -2.5 * (signal / self.reference).log10())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_f_nu_has_one_magnitude_in_every_band() {
        let wave: Vec<f64> = (0..7000).map(|i| 3500.0 + i as f64).collect();
        let flux: Vec<f64> = wave.iter().map(|w| AB_ZERO * 1e-8 * LIGHT / (w * w) / FLUX_UNIT).collect();
        for filter in [DECAM_G, DECAM_R, DECAM_Z, BASS_G, BASS_R, MZLS_Z] {
            let m = filter.ab_magnitude(&wave, &flux).unwrap();
            assert!((m - 20.0).abs() < 1e-9, "{} {m}", filter.name);
        }
        for (filter, pivot) in [(DECAM_G, 4810.0), (DECAM_R, 6440.0), (GAIA_BP, 5110.0), (GAIA_RP, 7770.0)] {
            assert!((filter.pivot() / pivot - 1.0).abs() < 0.02, "{} {}", filter.name, filter.pivot());
        }
        assert_eq!(DECAM_Z.ab_magnitude(&wave[..5000], &flux[..5000]), None);
        assert_eq!(DECAM_G.ab_magnitude(&wave, &vec![0.0; wave.len()]), None);
    }
}
