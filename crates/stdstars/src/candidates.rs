//! The standard stars of the frames: their photometry and spectra.

use crate::spectrum::StarSpectrum;
use datamodel::{Band, Fibermap, Frame, mask::fiber};
use numerics::robust;

/// One standard star with everything observed of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// TARGETID.
    pub targetid: i64,
    /// Global FIBER.
    pub fiber: i32,
    /// AB magnitude in r as observed.
    pub mag_r: f64,
    /// G-R without the dust of the Milky Way, mag.
    pub color: f64,
    /// E(B-V), mag.
    pub ebv: f64,
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

/// Galactic extinction of DECam g and r over E(B-V), as DESI's targets have it (Schlafly & Finkbeiner 2011,
/// ApJ 737, 103).
const EXTINCTION_G: f64 = 3.214;
const EXTINCTION_R: f64 = 2.165;

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
        match candidate(&frames[first].fibermap, row, fiber) {
            None => no_photometry += 1,
            Some(mut star) => {
                star.spectra = observed.iter().map(|&(k, row)| StarSpectrum::of(&frames[k], row)).collect();
                star.snr = Band::ALL.map(|band| snr(&star.spectra, band));
                found.stars.push(star);
            }
        }
    }
    found.lost = vec![(bad_fiber, "have a bad FIBERSTATUS or no data"), (no_photometry, "have no FLUX_G and FLUX_R")];
    found
}

/// (frame, row) of a fibre where its status and data are good.
fn good_rows(frames: &[Frame], fiber: i32) -> Vec<(usize, usize)> {
    let good_row = |frame: &Frame| {
        let row = frame.fibermap.fibers().iter().position(|f| *f == fiber)?;
        let bad = frame.camera().map_or(0, |c| fiber::bad_for_stdstars(c.band));
        let good = frame.fibermap.fiberstatus()[row] & bad == 0 && frame.good_ivar(row).iter().any(|w| *w > 0.0);
        good.then_some(row)
    };
    frames.iter().enumerate().filter_map(|(k, f)| Some((k, good_row(f)?))).collect()
}

/// The photometry of a row; `None` without flux in g and r.
fn candidate(fibermap: &Fibermap, row: usize, fiber: i32) -> Option<Candidate> {
    let value = |name: &str| fibermap.table.floats(name).map(|v| v[row]);
    let magnitude = |name: &str| value(name).filter(|f| *f > 0.0 && f.is_finite()).map(|f| 22.5 - 2.5 * f.log10());
    let (g, r) = (magnitude("FLUX_G")?, magnitude("FLUX_R")?);
    let ebv = value("EBV").filter(|e| e.is_finite() && *e > 0.0).unwrap_or(0.0);
    let color = g - r - ebv * (EXTINCTION_G - EXTINCTION_R);
    let targetid = fibermap.targetids()[row];
    Some(Candidate { targetid, fiber, mag_r: r, color, ebv, snr: [0.0; 3], spectra: vec![] })
}

/// Median S/N per bin over the spectra of a band.
fn snr(spectra: &[StarSpectrum], band: Band) -> f64 {
    let of_band = spectra.iter().filter(|s| s.band == band);
    let medians: Vec<f64> = of_band.map(|s| s.median_snr).collect();
    robust::median(&medians).unwrap_or(0.0)
}
