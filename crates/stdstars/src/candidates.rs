//! The standard stars of the frames: their photometry and spectra.

use crate::{photometry::Photometry, spectrum::StarSpectrum};
use datamodel::{Band, Fibermap, Frame, mask::fiber};
use numerics::robust;

/// One standard star with everything observed of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// TARGETID.
    pub targetid: i64,
    /// Global FIBER.
    pub fiber: i32,
    /// Its brightness and colours.
    pub photometry: Photometry,
    /// Median S/N per bin in b, r, z; 0 without that arm.
    pub snr: [f64; 3],
    /// Its spectra of all arms and exposures.
    pub spectra: Vec<StarSpectrum>,
}

impl Candidate {
    /// S/N in the bluest arm that was observed.
    pub fn bluest_snr(&self) -> f64 {
        let seen = |band: Band| self.spectra.iter().any(|s| s.band == band);
        Band::ALL.iter().find(|b| seen(**b)).map_or(0.0, |b| self.snr[*b as usize])
    }
}

/// Candidates, and what became of the other stars.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Fibres whose target bits say standard star.
    pub labelled: usize,
    /// How many were lost, and why.
    pub lost: Vec<(usize, &'static str)>,
    /// The candidates, by FIBER.
    pub stars: Vec<Candidate>,
}

/// Rows of the standard stars of a fibermap.
pub fn star_rows(fibermap: &Fibermap) -> Vec<usize> {
    (0..fibermap.len()).zip(fibermap.is_standard()).filter(|(_, is)| *is).map(|(i, _)| i).collect()
}

/// Collects the stars of flat-fielded, sky-subtracted frames (electron/Angstrom) that hold the rows of
/// standard stars only.
pub fn collect(frames: &[Frame]) -> Found {
    let mut found = Found::default();
    let mut fibers: Vec<i32> = frames.iter().flat_map(|f| f.fibermap.fibers()).collect();
    fibers.sort_unstable();
    fibers.dedup();
    found.labelled = fibers.len();
    let (mut bad_fiber, mut no_photometry) = (0, 0);
    for fiber in fibers {
        let observed = good_rows(frames, fiber);
        let Some(&(first, row)) = observed.first() else {
            bad_fiber += 1;
            continue;
        };
        let fibermap = &frames[first].fibermap;
        let Some(photometry) = Photometry::of(fibermap, row) else {
            no_photometry += 1;
            continue;
        };
        let spectra: Vec<StarSpectrum> = observed.iter().map(|&(k, row)| StarSpectrum::of(&frames[k], row)).collect();
        let snr = Band::ALL.map(|band| snr(&spectra, band));
        found.stars.push(Candidate { targetid: fibermap.targetids()[row], fiber, photometry, snr, spectra });
    }
    found.lost = vec![
        (bad_fiber, "have a bad FIBERSTATUS or no data"),
        (no_photometry, "have neither FLUX_G and FLUX_R nor magnitudes of Gaia"),
    ];
    found
}

/// (frame, row) of a fibre where its status and data are good and it looks at what it looked at first.
fn good_rows(frames: &[Frame], fiber: i32) -> Vec<(usize, usize)> {
    let good_row = |frame: &Frame| {
        let row = frame.fibermap.fibers().iter().position(|f| *f == fiber)?;
        let bad = frame.camera().map_or(0, |c| fiber::bad_for_stdstars(c.band));
        let good = frame.fibermap.fiberstatus()[row] & bad == 0 && frame.good_ivar(row).iter().any(|w| *w > 0.0);
        good.then_some(row)
    };
    let mut rows: Vec<(usize, usize)> =
        frames.iter().enumerate().filter_map(|(k, f)| Some((k, good_row(f)?))).collect();
    let target = |&(k, row): &(usize, usize)| frames[k].fibermap.targetids()[row];
    let first = rows.first().map(target);
    rows.retain(|r| Some(target(r)) == first);
    rows
}

/// Median S/N per bin over the spectra of a band.
fn snr(spectra: &[StarSpectrum], band: Band) -> f64 {
    let of_band = spectra.iter().filter(|s| s.band == band);
    let medians: Vec<f64> = of_band.map(|s| s.median_snr).collect();
    robust::median(&medians).unwrap_or(0.0)
}
