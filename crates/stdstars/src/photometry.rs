//! The photometry of a star, and its model in physical units: redshifted, dimmed by dust, brought to the measured
//! colours and brightness.

use crate::fit::Fit;
use datamodel::Fibermap;
use templates::{StarGrid, dust, filters, filters::Filter, filters::Passband};

/// Errors beside the counting ones, mag: zero points and passbands; continua of the models (dust, temperature).
const ZERO_POINT: f64 = 0.01;
const MODEL_COLOR: f64 = 0.05;
/// A colour further than this many of its errors from the model's is no measurement of this star.
const OUTLIER_NSIG: f64 = 5.0;
/// Rounds of the correction: bands are wide, it is not constant over one.
const ROUNDS: usize = 4;

/// Where magnitudes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// FLUX_G, FLUX_R and, where it is there, FLUX_Z of the Dark Energy Camera.
    South,
    /// The same of BASS and MzLS (PHOTSYS N).
    North,
    /// Mean magnitudes G, BP, RP of Gaia.
    Gaia,
}

impl System {
    /// All of them, in order of preference; each one's index is its place here.
    pub const ALL: [Self; 3] = [Self::South, Self::North, Self::Gaia];

    /// Whose imaging a row has.
    fn of_imaging(fibermap: &Fibermap, row: usize) -> Self {
        let photsys = fibermap.table.strings("PHOTSYS").map_or("", |v| v[row].trim());
        if photsys == "N" { Self::North } else { Self::South }
    }

    /// The bands of the colour that a star is judged by, blue and red.
    pub fn color_bands(self) -> [&'static Filter; 2] {
        match self {
            Self::South => [&filters::DECAM_G, &filters::DECAM_R],
            Self::North => [&filters::BASS_G, &filters::BASS_R],
            Self::Gaia => [&filters::GAIA_BP, &filters::GAIA_RP],
        }
    }

    /// Colour excess over E(B-V) (Schlafly & Finkbeiner 2011, ApJ 737, 103, in the south as DESI's targets have it; Casagrande &
    /// VandenBerg 2018, MNRAS 479, L102).
    fn reddening(self) -> f64 {
        match self {
            Self::South => 3.214 - 2.165,
            Self::North => 3.258 - 2.176,
            Self::Gaia => 3.374 - 2.035,
        }
    }
}

/// A magnitude.
#[derive(Debug, Clone, Copy)]
struct Measured {
    filter: &'static Filter,
    /// AB, as observed.
    mag: f64,
    /// Its counting error, mag.
    error: f64,
}

/// What is known of a star's brightness.
#[derive(Debug, Clone)]
pub struct Photometry {
    /// Where from.
    pub system: System,
    /// Colour in the system's bands without the dust of the Milky Way, AB mag.
    pub color: f64,
    /// E(B-V), mag.
    pub ebv: f64,
    /// The band that the brightness is taken from, then others, from blue to red.
    norm: Measured,
    others: Vec<Measured>,
}

impl Photometry {
    /// Of a row: imaging, else Gaia; `None` without either.
    pub fn of(fibermap: &Fibermap, row: usize) -> Option<Self> {
        let value = |name: &str| fibermap.table.floats(name).map(|v| v[row]).filter(|v| v.is_finite());
        let ebv = value("EBV").filter(|e| *e > 0.0).unwrap_or(0.0);
        let imaging = |filter: &'static Filter| {
            let flux = value(&format!("FLUX_{}", filter.name)).filter(|f| *f > 0.0)?;
            let ivar = value(&format!("FLUX_IVAR_{}", filter.name)).unwrap_or(0.0);
            let error = if ivar > 0.0 { std::f64::consts::LOG10_E * 2.5 / (flux * ivar.sqrt()) } else { 0.0 };
            Some(Measured { filter, mag: 22.5 - 2.5 * flux.log10(), error })
        };
        let gaia = |band: usize, filter: &'static Filter| {
            let name = ["G", "BP", "RP"][band];
            let mag = value(&format!("GAIA_PHOT_{name}_MEAN_MAG")).filter(|m| *m > 0.0)?;
            Some(Measured { filter, mag: mag + filters::GAIA_TO_AB[band], error: 0.0 })
        };
        let color = |blue: &Measured, red: &Measured, system: System| blue.mag - red.mag - ebv * system.reddening();
        let system = System::of_imaging(fibermap, row);
        let [blue, red] = system.color_bands();
        if let Some((g, r)) = imaging(blue).zip(imaging(red)) {
            let z = if system == System::North { &filters::MZLS_Z } else { &filters::DECAM_Z };
            let others = std::iter::once(g).chain(imaging(z)).collect();
            return Some(Self { system, color: color(&g, &r, system), ebv, norm: r, others });
        }
        let (g, bp, rp) = (gaia(0, &filters::GAIA_G)?, gaia(1, &filters::GAIA_BP)?, gaia(2, &filters::GAIA_RP)?);
        let system = System::Gaia;
        Some(Self { system, color: color(&bp, &rp, system), ebv, norm: g, others: vec![bp, rp] })
    }

    /// A spectrum (any unit, at `wave` in Angstrom) multiplied by a line in ln(wavelength), broken at the pivots of the
    /// bands, that gives it the measured colours, as far as they are better known than the model's; scaled to the
    /// brightness: 1e-17 erg/s/cm2/Angstrom. A spectrum that does not cover the band of the brightness stays.
    fn imposed_on(&self, wave: &[f64], mut flux: Vec<f64>) -> Vec<f64> {
        const MAG_TO_LN: f64 = -0.4 * std::f64::consts::LN_10;
        let norm = self.norm.filter.on(wave);
        let others = self.others.iter().map(|m| (m, m.filter.on(wave)));
        let color = |band: &Passband, flux: &[f64]| Some(band.ab_magnitude(flux)? - norm.ab_magnitude(flux)?);
        let wanted: Vec<(&Measured, Passband, f64)> = others
            .filter_map(|(m, band)| {
                let wanted = self.wanted_color(m, color(&band, &flux)?)?;
                Some((m, band, wanted))
            })
            .collect();
        let pivot = self.norm.filter.pivot().ln();
        let ln_wave: Vec<f64> = wave.iter().map(|w| w.ln()).collect();
        for _ in 0..ROUNDS {
            let offset = |(m, band, wanted): &(&Measured, Passband, f64)| {
                Some((m.filter.pivot().ln(), wanted - color(band, &flux)?))
            };
            let mut points: Vec<(f64, f64)> = wanted.iter().filter_map(offset).chain([(pivot, 0.0)]).collect();
            if self.system == System::Gaia {
                // the band of the brightness spans both others
                points.retain(|p| p.0 != pivot);
            }
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut factor: Vec<f64> = ln_wave.iter().map(|x| MAG_TO_LN * broken_line(&points, *x)).collect();
            templates::exp_all(&mut factor);
            flux.iter_mut().zip(factor).for_each(|(f, x)| *f *= x);
        }
        let scale = norm.ab_magnitude(&flux).map_or(1.0, |m| 10f64.powf(0.4 * (m - self.norm.mag)));
        flux.into_iter().map(|f| f * scale).collect()
    }

    /// The colour between a band and that of the brightness: mean of the measured and the model's, weighted by their errors.
    fn wanted_color(&self, m: &Measured, model: f64) -> Option<f64> {
        let measured = m.mag - self.norm.mag;
        let variance = m.error.powi(2) + self.norm.error.powi(2) + 2.0 * ZERO_POINT.powi(2);
        let total = variance + MODEL_COLOR.powi(2);
        let off = measured - model;
        (off * off < OUTLIER_NSIG.powi(2) * total).then(|| model + off * MODEL_COLOR.powi(2) / total)
    }
}

/// Linear between ascending points and beyond the last ones; 0 without two.
fn broken_line(points: &[(f64, f64)], x: f64) -> f64 {
    if points.len() < 2 {
        return 0.0;
    }
    let k = points.partition_point(|p| p.0 < x).clamp(1, points.len() - 1);
    let (a, b) = (points[k - 1], points[k]);
    a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0)
}

/// Flux of a fitted star at the models' wavelengths, 1e-17 erg/s/cm2/Angstrom; `reddening` is ln(transmission) there of
/// dust of 1 mag.
pub fn normalised(photometry: &Photometry, fit: &Fit, models: &StarGrid, reddening: &[f64]) -> Vec<f64> {
    let mut rest = vec![0.0; models.wave.len()];
    for &(k, c) in &fit.coefficients {
        rest.iter_mut().zip(models.flux.row(k)).for_each(|(r, f)| *r += c * f);
    }
    let emitted: Vec<f64> = models.wave.iter().map(|w| w / (1.0 + fit.z)).collect();
    let mut flux = numerics::interp::linear_grid(&emitted, &models.wave, &rest);
    dust::redden(&mut flux, photometry.ebv, reddening);
    photometry.imposed_on(&models.wave, flux)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spectrum whose colours are wrong by a smooth curve comes out right to a small part of that.
    #[test]
    fn measured_colours_correct_a_continuum() {
        let wave: Vec<f64> = (0..6500).map(|i| 3500.0 + f64::from(i)).collect();
        let truth: Vec<f64> = wave.iter().map(|w| (w / 6000.0).powf(-2.0)).collect();
        let model: Vec<f64> =
            wave.iter().map(|w| 7.0 * (w / 6000.0).powf(-1.8) * (1.0 + 1e-5 * (w - 6000.0))).collect();
        let mag = |f: &'static Filter| Measured { filter: f, mag: f.ab_magnitude(&wave, &truth).unwrap(), error: 0.0 };
        let imaging =
            |others| Photometry { system: System::South, color: 0.0, ebv: 0.0, norm: mag(&filters::DECAM_R), others };
        let worst = |p: &Photometry, range: (f64, f64)| {
            let flux = p.imposed_on(&wave, model.clone());
            let inside = (0..wave.len()).filter(|&j| wave[j] > range.0 && wave[j] < range.1);
            inside.map(|j| (flux[j] / truth[j] - 1.0).abs()).fold(0.0, f64::max)
        };
        let all = imaging(vec![mag(&filters::DECAM_G), mag(&filters::DECAM_Z)]);
        assert!(worst(&imaging(vec![]), (3700.0, 9700.0)) > 0.1);
        assert!(worst(&all, (3700.0, 9700.0)) < 0.025, "{}", worst(&all, (3700.0, 9700.0)));
        let gaia = Photometry {
            system: System::Gaia,
            norm: mag(&filters::GAIA_G),
            others: vec![mag(&filters::GAIA_BP), mag(&filters::GAIA_RP)],
            ..all.clone()
        };
        assert!(worst(&gaia, (3700.0, 9700.0)) < 0.03, "{}", worst(&gaia, (3700.0, 9700.0)));
        // a colour that is off by half a magnitude is a mistake, and a noisy one tells little
        let mut wrong = all.clone();
        wrong.others[0].mag += 0.5;
        wrong.others[1].error = 1.0;
        assert!((worst(&wrong, (5000.0, 9700.0)) / worst(&imaging(vec![]), (5000.0, 9700.0)) - 1.0).abs() < 0.05);
    }
}
