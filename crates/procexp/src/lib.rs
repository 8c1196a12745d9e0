//! Flat, sky and calibration applied to a frame, in that order: the calibrated frame.

pub mod scores;
mod tracers;
pub mod tsnr;

use datamodel::{Fiberflat, FluxCalib, Frame, Sky, units};
use scores::Stage;

/// Why the calibrations cannot be applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The sky is in flat-fielded electrons.
    #[error("a sky can only be subtracted from a flat-fielded frame: give --fiberflat too")]
    SkyWithoutFlat,
    /// Nothing to do.
    #[error("nothing to apply: give at least one of --fiberflat, --sky, --calib")]
    Nothing,
}

/// What is applied; each is left out where it is `None`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Calibrations<'a> {
    /// Fibre flat.
    pub fiberflat: Option<&'a Fiberflat>,
    /// Sky of the flat-fielded frame.
    pub sky: Option<&'a Sky>,
    /// Flux calibration.
    pub calib: Option<&'a FluxCalib>,
}

impl Calibrations<'_> {
    /// That they go together.
    ///
    /// # Errors
    /// [`Error::Nothing`] without any; [`Error::SkyWithoutFlat`].
    pub fn validate(&self) -> Result<(), Error> {
        match (self.fiberflat, self.sky, self.calib) {
            (None, None, None) => Err(Error::Nothing),
            (None, Some(_), _) => Err(Error::SkyWithoutFlat),
            _ => Ok(()),
        }
    }
}

/// The frame (electron/Angstrom) with the calibrations applied; with a flux calibration its unit becomes
/// 1e-17 erg/s/cm2/Angstrom. Scores of each stage are added to its SCORES.
///
/// # Errors
/// Those of [`Calibrations::validate`].
pub fn run(frame: Frame, calibrations: Calibrations) -> Result<Frame, Error> {
    calibrations.validate()?;
    Ok(calibrated(sky_subtracted(frame, calibrations), calibrations))
}

/// The frame divided by the fibre flat, less the sky, without what cosmic rays left: an sframe, in electron/Angstrom.
pub fn sky_subtracted(mut frame: Frame, calibrations: Calibrations) -> Frame {
    if let Some(flat) = calibrations.fiberflat {
        calibrate::divide_by_fiberflat(&mut frame, flat);
        scores::append(&mut frame, Stage::Flatfielded);
    }
    if let Some(sky) = calibrations.sky {
        calibrate::subtract_sky(&mut frame, sky);
        let hits = calibrate::flag_cosmics(&mut frame);
        log::info!("{hits} spikes of cosmic rays masked");
        scores::append(&mut frame, Stage::SkySubtracted);
    }
    frame
}

/// An sframe divided by the flux calibration.
pub fn calibrated(mut frame: Frame, calibrations: Calibrations) -> Frame {
    if let Some(calib) = calibrations.calib {
        calibrate::divide_by_calibration(&mut frame, calib);
        frame.header.set("BUNIT", units::FLUX, "");
        scores::append(&mut frame, Stage::Calibrated);
        tsnr::append(&mut frame, calibrations.fiberflat, calib);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use calibrate::testing::{Instrument, frame_of};

    /// A known flat, sky and calibration are undone within the noise, for spectra brighter and fainter than
    /// the sky.
    #[test]
    fn calibrated_flux_is_the_truth_with_pulls_of_one() {
        let (nspec, nwave) = (20, 500);
        let instrument = Instrument::new(nspec, nwave, 11);
        let flat = |f: usize, j: usize| 0.9 + 0.02 * (f % 10) as f64 + 0.02 * (j as f64 / 50.0 + f as f64).sin();
        let sky = |j: usize| 100.0 + if j % 40 == 9 { 2000.0 } else { 0.0 };
        let factor = |j: usize| 30.0 + 10.0 * (j as f64 / 80.0).cos();
        let target = |f: usize, j: usize| (f * f) as f64 * (1.0 + 0.5 * (j as f64 / 7.0).sin());
        let detected: Vec<Vec<f64>> = (0..nspec)
            .map(|f| (0..nwave).map(|j| flat(f, j) * (sky(j) + factor(j) * target(f, j))).collect())
            .collect();
        let frame = frame_of(&instrument, &detected, 10.0, 5);
        let (mut ff, mut sk, mut cal) = (instrument.unit_flat(), instrument.unit_sky(), instrument.unit_calibration());
        sk.ivar.fill(1e6);
        let sky_spectrum: Vec<f64> = (0..nwave).map(sky).collect();
        for f in 0..nspec {
            let convolved = instrument.resolution_of(f).apply(&sky_spectrum);
            for (j, c) in convolved.iter().enumerate() {
                ff.fiberflat[(f, j)] = flat(f, j) as f32;
                sk.sky[(f, j)] = *c as f32;
                cal.calib[(f, j)] = factor(j) as f32;
            }
        }
        let all = Calibrations { fiberflat: Some(&ff), sky: Some(&sk), calib: Some(&cal) };
        let cframe = run(frame, all).unwrap();
        assert_eq!(cframe.header.str("BUNIT"), Some("10**-17 erg/(s cm2 Angstrom)"));
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for f in 0..nspec {
            let truth: Vec<f64> = (0..nwave).map(|j| target(f, j)).collect();
            let expected = cframe.resolution_of(f).apply(&truth);
            for (j, e) in expected.iter().enumerate().take(nwave - 10).skip(10) {
                let pull = (f64::from(cframe.flux[(f, j)]) - e) * f64::from(cframe.ivar[(f, j)]).sqrt();
                sum += pull;
                squares += pull * pull;
                n += 1.0;
            }
        }
        let (mean, rms): (f64, f64) = (sum / n, (squares / n).sqrt());
        // the bins next to a sky line carry the flat's slope times the line, below a tenth of a sigma
        assert!(mean.abs() < 4.0 / n.sqrt() + 0.01, "mean {mean}");
        assert!((rms - 1.0).abs() < 4.0 / (2.0 * n).sqrt() + 0.01, "rms {rms}");
        let scores = cframe.scores.unwrap();
        assert_eq!(scores.ints("TARGETID").unwrap().len(), nspec);
        assert!(scores.floats("MEDIAN_CALIB_FLUX_B").unwrap()[19] > 300.0);
        // what an exposure tells about a redshift does not depend on what a fibre holds: nothing or three times the sky
        let tsnr2 = scores.floats("TSNR2_LRG_B").unwrap();
        assert!(tsnr2[0] > 0.0 && (tsnr2[3] / tsnr2[0] - 1.0).abs() < 0.15, "{} {}", tsnr2[0], tsnr2[3]);
    }

    #[test]
    fn sky_needs_a_flat_and_nothing_is_an_error() {
        let instrument = Instrument::new(1, 20, 5);
        let frame = frame_of(&instrument, &[vec![1.0; 20]], 1.0, 1);
        let sky = instrument.unit_sky();
        let only_sky = Calibrations { sky: Some(&sky), ..Default::default() };
        assert_eq!(run(frame.clone(), only_sky).unwrap_err(), Error::SkyWithoutFlat);
        assert_eq!(run(frame, Calibrations::default()).unwrap_err(), Error::Nothing);
    }
}
