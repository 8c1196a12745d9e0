//! SCORES of a coadd: a few numbers of each spectrum, and the sums of TSNR2.

use datamodel::{Band, BandSpectra, ColumnData, Table};
use exposures::Target;
use numerics::robust;
use std::collections::BTreeMap;

/// INTEG_COADD_FLUX, MEDIAN_COADD_FLUX and MEDIAN_COADD_SNR of each band, as DESI names them, over its good bins in the
/// range where the arm is efficient, and every TSNR2 of the exposures summed over those used, by band and over the bands.
pub(crate) fn of_coadd(bands: &BTreeMap<Band, BandSpectra>, exposures: Option<&Table>, targets: &[Target]) -> Table {
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(targets.iter().map(|t| t.id).collect()));
    for (band, data) in bands {
        let rows: Vec<[f32; 3]> = (0..data.flux.nrows()).map(|i| measure(data, i, band.scored_range())).collect();
        let column = |k: usize| ColumnData::F32(rows.iter().map(|r| r[k]).collect());
        let letter = band.letter().to_ascii_uppercase();
        table.set(&format!("INTEG_COADD_FLUX_{letter}"), "", column(0));
        table.set(&format!("MEDIAN_COADD_FLUX_{letter}"), "", column(1));
        table.set(&format!("MEDIAN_COADD_SNR_{letter}"), "", column(2));
    }
    if let Some(exposures) = exposures {
        add_tsnr2(&mut table, exposures, targets);
    }
    table
}

/// Integral, median and median S/N per square-root Angstrom of spectrum `i`; masked bins count in none.
fn measure(data: &BandSpectra, i: usize, (from, to): (f64, f64)) -> [f32; 3] {
    let n = data.wave.len();
    let width = |j: usize| {
        let (low, high) = (j.saturating_sub(1), (j + 1).min(n - 1));
        (data.wave[high] - data.wave[low]) / (high - low).max(1) as f64
    };
    let inside = |j: &usize| (from..to).contains(&data.wave[*j]);
    let good = |j: &usize| data.mask[[i, *j]] == 0 && data.ivar[[i, *j]] > 0.0;
    let bins: Vec<usize> = (0..n).filter(inside).filter(good).collect();
    let flux = |j: usize| f64::from(data.flux[[i, j]]);
    let integral = bins.iter().map(|&j| flux(j) * width(j)).sum::<f64>();
    let snr = |j: usize| flux(j) * (f64::from(data.ivar[[i, j]]) / width(j)).sqrt();
    let median =
        |of: &dyn Fn(usize) -> f64| robust::median(&bins.iter().map(|&j| of(j)).collect::<Vec<f64>>()).unwrap_or(0.0);
    [integral as f32, median(&flux) as f32, median(&snr) as f32]
}

fn add_tsnr2(table: &mut Table, exposures: &Table, targets: &[Target]) {
    let mut totals: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for column in exposures.columns().iter().filter(|c| c.name.starts_with("TSNR2_") && c.shape.is_empty()) {
        let Some((kind, letter)) = column.name.rsplit_once('_') else { continue };
        let (Ok(band), Some(values)) = (letter.to_ascii_lowercase().parse::<Band>(), column.data.to_f64()) else {
            continue;
        };
        let sum = |t: &Target| t.rows_in(band).into_iter().map(|row| values[row]).sum::<f64>() as f32;
        let sums: Vec<f32> = targets.iter().map(sum).collect();
        let total = totals.entry(kind.to_string()).or_insert_with(|| vec![0.0; targets.len()]);
        total.iter_mut().zip(&sums).for_each(|(t, s)| *t += s);
        table.set(&column.name, "", ColumnData::F32(sums));
    }
    for (kind, sums) in totals {
        table.set(&kind, "", ColumnData::F32(sums));
    }
}
