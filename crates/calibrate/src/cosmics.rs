//! Cosmic rays that survived in extracted spectra: spikes sharper than the resolution can make them, on sky lines too.

use datamodel::{Frame, mask::spec};
use numerics::robust;
use rayon::prelude::*;

/// A spike exceeds its surroundings by this many sigmas.
const NSIG: f64 = 6.0;
/// An unresolved line is that much higher in its neighbours, with a margin for errors of the resolution, by this many
/// sigmas, than the spike is.
const NSIG_SHARP: f64 = 4.0;
const MARGIN: f64 = 0.7;
/// Bins to each side, beyond the neighbours, whose median is the surroundings.
const NEAR: usize = 2;
const FAR: usize = 6;

/// Masks spikes and their two neighbours (COSMIC, ivar 0) in sky-subtracted spectra; returns the number of spikes.
pub fn flag_cosmics(frame: &mut Frame) -> usize {
    let spikes: Vec<Vec<usize>> = (0..frame.nspec()).into_par_iter().map(|i| spikes_of(frame, i)).collect();
    for (i, bins) in spikes.iter().enumerate() {
        for &j in bins {
            for k in j - 1..=j + 1 {
                frame.mask[(i, k)] |= spec::COSMIC;
                frame.ivar[(i, k)] = 0.0;
            }
        }
    }
    spikes.iter().map(Vec::len).sum()
}

fn spikes_of(frame: &Frame, i: usize) -> Vec<usize> {
    let nwave = frame.wave.len();
    let half = frame.resolution.dim().1 / 2;
    let (flux, ivar, mask) = (frame.flux.row(i), frame.ivar.row(i), frame.mask.row(i));
    let good = |j: usize| ivar[j] > 0.0 && mask[j] == 0;
    let value = |j: usize| f64::from(flux[j]);
    let variance = |j: usize| 1.0 / f64::from(ivar[j]);
    let is_spike = |&j: &usize| {
        if flux[j] < flux[j - 1] || flux[j] < flux[j + 1] || !(j - 1..=j + 1).all(good) {
            return false;
        }
        // cheap and necessary: nothing stands out that does not exceed its neighbours' mean by so much
        let (spike, wings) = (value(j), 0.5 * (value(j - 1) + value(j + 1)));
        if (spike - wings).powi(2) * f64::from(ivar[j]) < NSIG_SHARP.powi(2) {
            return false;
        }
        let near: Vec<f64> = (j.saturating_sub(FAR)..(j + 1).saturating_sub(NEAR))
            .chain(j + NEAR..(j + FAR + 1).min(nwave))
            .filter(|&k| good(k))
            .map(value)
            .collect();
        let Some(level) = robust::median(&near) else { return false };
        let r = |k: usize| f64::from(frame.resolution[(i, k, j)]);
        let ratio = MARGIN * 0.5 * (r(half - 1) + r(half + 1)) / r(half).max(1e-6);
        let noise = ratio * ratio * variance(j) + 0.25 * (variance(j - 1) + variance(j + 1)) + 0.2 * variance(j);
        spike - level > NSIG * variance(j).sqrt()
            && ratio * (spike - level) - (wings - level) > NSIG_SHARP * noise.sqrt()
    };
    // without a resolution nothing is known of sharpness
    let range = if half > 0 { 1..nwave.saturating_sub(1) } else { 0..0 };
    range.filter(is_spike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Instrument, frame_of};

    #[test]
    fn hits_are_masked_and_unresolved_lines_are_not() {
        let instrument = Instrument::new(40, 600, 11);
        // lines of all strengths at all phases, on a continuum
        let spectrum = |f: usize| -> Vec<f64> {
            let line = |j: usize| if j % 29 == 7 { 10f64.powi((j / 29) as i32 % 5) * (1 + f % 3) as f64 } else { 0.0 };
            let phase = 0.1 * (f % 10) as f64;
            (1..=600).map(|j| 100.0 + (1.0 - phase) * line(j) + phase * line(j - 1)).collect()
        };
        let truth: Vec<Vec<f64>> = (0..40).map(spectrum).collect();
        let clean = frame_of(&instrument, &truth, 10.0, 9);
        assert_eq!(flag_cosmics(&mut clean.clone()), 0);
        let mut hit = clean.clone();
        let places: Vec<(usize, usize)> = (0..40).map(|f| (f, 1 + 14 * f)).collect();
        for &at in &places {
            hit.flux[at] += 20.0 / hit.ivar[at].sqrt();
        }
        flag_cosmics(&mut hit);
        let found = places.iter().filter(|&&at| hit.mask[at] & spec::COSMIC != 0 && hit.ivar[at] == 0.0).count();
        // some fall on lines much stronger than they are
        assert!(found >= 36, "{found} of 40");
        let masked = hit.mask.iter().filter(|m| **m != 0).count();
        assert!(masked <= 3 * found, "{masked} bins masked for {found} hits");
    }
}
