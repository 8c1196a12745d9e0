//! SCORES: a few numbers a spectrum for a quick look, measured at each stage of the calibration in a fixed
//! wavelength range of each arm.

use datamodel::{ColumnData, Frame, Table};
use numerics::robust;
use rayon::prelude::*;

/// Where the frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Divided by the fibre flat.
    Flatfielded,
    /// The sky is subtracted.
    SkySubtracted,
    /// In 1e-17 erg/s/cm2/Angstrom.
    Calibrated,
}

impl Stage {
    /// Name of the stage, and whether it holds calibrated flux rather than counts, as DESI's columns have it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Flatfielded => ("FFLAT", "COUNT"),
            Self::SkySubtracted => ("SKYSUB", "COUNT"),
            Self::Calibrated => ("CALIB", "FLUX"),
        }
    }
}

/// Adds to SCORES the integral over the range, the median per Angstrom, and the median S/N per
/// square-root Angstrom: columns `INTEG_stage_X_band` (`SUM` for counts), `MEDIAN_stage_X_band`,
/// `MEDIAN_stage_SNR_band`. A frame without a known camera or without bins in the range stays as it is.
pub fn append(frame: &mut Frame, stage: Stage) {
    let Some(band) = frame.camera().map(|c| c.band) else { return };
    let (from, to) = band.scored_range();
    let bins = frame.wave.partition_point(|w| *w < from)..frame.wave.partition_point(|w| *w < to);
    if bins.len() < 2 {
        return;
    }
    let step = (frame.wave[bins.end - 1] - frame.wave[bins.start]) / (bins.len() - 1) as f64;
    let rows: Vec<[f32; 3]> =
        (0..frame.nspec()).into_par_iter().map(|i| measure(frame, i, bins.clone(), step)).collect();
    let column = |k: usize| ColumnData::F32(rows.iter().map(|r| r[k]).collect());
    let (name, quantity) = stage.names();
    let (total, letter) = (if quantity == "FLUX" { "INTEG" } else { "SUM" }, band.letter().to_ascii_uppercase());
    table_of(frame)
        .set(&format!("{total}_{name}_{quantity}_{letter}"), "", column(0))
        .set(&format!("MEDIAN_{name}_{quantity}_{letter}"), "", column(1))
        .set(&format!("MEDIAN_{name}_SNR_{letter}"), "", column(2));
}

/// The SCORES of a frame, with TARGETID.
pub(crate) fn table_of(frame: &mut Frame) -> &mut Table {
    let targetids = frame.fibermap.targetids();
    let scores = frame.scores.get_or_insert_with(Table::new);
    if scores.column("TARGETID").is_none() {
        scores.set("TARGETID", "", ColumnData::I64(targetids));
    }
    scores
}

/// Integral, median and median S/N of spectrum `i`; masked bins count in none.
fn measure(frame: &Frame, i: usize, bins: std::ops::Range<usize>, step: f64) -> [f32; 3] {
    let (mut flux, mut snr) = (Vec::with_capacity(bins.len()), Vec::with_capacity(bins.len()));
    for j in bins {
        let (value, ivar) = (f64::from(frame.flux[(i, j)]), frame.ivar[(i, j)]);
        if frame.mask[(i, j)] == 0 && ivar > 0.0 {
            flux.push(value);
            snr.push(value * (f64::from(ivar) / step).sqrt());
        }
    }
    let integral = flux.iter().sum::<f64>() * step;
    let median = |mut v: Vec<f64>| robust::median_in_place(&mut v).unwrap_or(0.0) as f32;
    [integral as f32, median(flux), median(snr)]
}
