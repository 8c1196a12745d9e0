//! The frame that an extraction becomes: header, fibermap and scores.

use crate::{Extraction, Grid};
use datamodel::{Band, ColumnData, Fibermap, Frame, Header, Table};
use numerics::robust::median;
use rayon::prelude::*;

/// The rows of `fibermap` of the `n` fibres from `first` on (global FIBER), or `Err` with the first fibre
/// that has no row.
pub fn rows_of(fibermap: &Fibermap, first: usize, n: usize) -> Result<Fibermap, usize> {
    let fibers = fibermap.fibers();
    let row = |f: usize| fibers.iter().position(|&g| usize::try_from(g) == Ok(f)).ok_or(f);
    let rows: Result<Vec<usize>, usize> = (first..first + n).map(row).collect();
    rows.map(|rows| fibermap.select(&rows))
}

/// Puts an extraction into a frame; `header` is the image's.
pub fn assemble(extraction: Extraction, grid: &Grid, mut header: Header, fibermap: Fibermap, band: Band) -> Frame {
    header.set("NSPEC", extraction.flux.nrows(), "number of spectra");
    header.set("WAVEMIN", grid.first, "[Angstrom] first wavelength");
    header.set("WAVEMAX", grid.wave(grid.n - 1), "[Angstrom] last wavelength");
    header.set("WAVESTEP", grid.step, "[Angstrom] width of a bin");
    header.set("BUNIT", "electron/Angstrom", "");
    let mut frame = Frame {
        header,
        wave: grid.waves(),
        flux: extraction.flux,
        ivar: extraction.ivar,
        mask: extraction.mask,
        resolution: extraction.resolution,
        chi2pix: Some(extraction.chi2pix),
        fibermap,
        scores: None,
    };
    frame.scores = Some(scores(&frame, grid.step, band));
    frame
}

/// Wavelengths over which the survey's scores of an arm are taken, Angstrom.
fn score_range(band: Band) -> std::ops::Range<f64> {
    match band {
        Band::B => 4000.0..5800.0,
        Band::R => 5800.0..7600.0,
        Band::Z => 7600.0..9800.0,
    }
}

/// Sum (electron), median (electron/Angstrom) and median signal-to-noise (per square root of an Angstrom) of
/// the good bins of each spectrum; 0 without any.
fn scores(frame: &Frame, step: f64, band: Band) -> Table {
    let range = score_range(band);
    let of_spectrum = |i: usize| {
        let ivar = frame.good_ivar(i);
        let bins = (0..frame.wave.len()).filter(|&j| range.contains(&frame.wave[j]) && ivar[j] > 0.0);
        let (flux, noise): (Vec<f64>, Vec<f64>) = bins
            .map(|j| (f64::from(frame.flux[(i, j)]), f64::from(frame.flux[(i, j)]) * (ivar[j] / step).sqrt()))
            .unzip();
        [flux.iter().sum::<f64>() * step, median(&flux).unwrap_or(0.0), median(&noise).unwrap_or(0.0)]
    };
    let scores: Vec<[f64; 3]> = (0..frame.nspec()).into_par_iter().map(of_spectrum).collect();
    let [sum, middle, snr] = [0, 1, 2].map(|k| scores.iter().map(|s| s[k]).collect::<Vec<f64>>());
    let letter = band.letter().to_ascii_uppercase();
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(frame.fibermap.targetids()));
    table.set(&format!("SUM_RAW_COUNT_{letter}"), "electron", ColumnData::F64(sum));
    table.set(&format!("MEDIAN_RAW_COUNT_{letter}"), "electron/Angstrom", ColumnData::F64(middle));
    table.set(&format!("MEDIAN_RAW_SNR_{letter}"), "", ColumnData::F64(snr));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3};

    #[test]
    fn rows_are_found_by_fiber() {
        let mut map = Fibermap::default();
        map.table.set("FIBER", "", ColumnData::I32(vec![1502, 1500, 1501]));
        assert_eq!(rows_of(&map, 1500, 2).unwrap().fibers(), [1500, 1501]);
        assert_eq!(rows_of(&map, 1501, 3), Err(1503));
    }

    #[test]
    fn scores_leave_out_masked_bins() {
        let grid = Grid::new(5800.0, 5803.2, 0.8).unwrap();
        let extraction = Extraction {
            flux: Array2::from_shape_vec((1, 5), vec![1.0, 2.0, 3.0, 1e6, 4.0]).unwrap(),
            ivar: Array2::from_elem((1, 5), 4.0),
            mask: Array2::from_shape_vec((1, 5), vec![0, 0, 0, 1, 0]).unwrap(),
            resolution: Array3::zeros((1, 11, 5)),
            chi2pix: Array2::ones((1, 5)),
            model: Array2::zeros((1, 1)),
        };
        let mut map = Fibermap::default();
        map.table.set("FIBER", "", ColumnData::I32(vec![7]));
        let frame = assemble(extraction, &grid, Header::new(), map, Band::R);
        let scores = frame.scores.unwrap();
        let of = |name: &str| scores.floats(name).unwrap()[0];
        assert!((of("SUM_RAW_COUNT_R") - 8.0).abs() < 1e-12);
        assert_eq!(of("MEDIAN_RAW_COUNT_R"), 2.5);
        assert!((of("MEDIAN_RAW_SNR_R") - 5.0 / 0.8f64.sqrt()).abs() < 1e-12);
        assert_eq!(scores.ints("TARGETID"), Some(vec![-1]));
        assert_eq!(frame.header.int("NSPEC"), Some(1));
    }
}
