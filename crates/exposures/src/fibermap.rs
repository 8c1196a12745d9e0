//! FIBERMAP and EXP_FIBERMAP of a coadd.

use crate::Target;
use datamodel::{Band, Column, ColumnData, Fibermap, Header, Table};
use std::collections::BTreeSet;

/// Columns that say nothing of a sum over exposures.
const OF_EXPOSURE: [&str; 13] = [
    "NIGHT",
    "EXPID",
    "MJD",
    "EXPTIME",
    "NUM_ITER",
    "PSF_TO_FIBER_SPECFLUX",
    "FIBER_RA",
    "FIBER_DEC",
    "DELTA_X",
    "DELTA_Y",
    "FIBERSTATUS",
    "COADD_FIBERSTATUS",
    "TARGETID",
];
/// Columns that say nothing of a sum over tiles.
const OF_TILE: [&str; 13] = [
    "TILEID",
    "FIBER",
    "FIBER_X",
    "FIBER_Y",
    "PRIORITY",
    "PETAL_RA",
    "PETAL_DEC",
    "LAMBDA_REF",
    "FIBERASSIGN_X",
    "FIBERASSIGN_Y",
    "PETAL_LOC",
    "DEVICE_LOC",
    "LOCATION",
];
/// Columns of EXP_FIBERMAP, in this order.
const EXPOSURES: [&str; 29] = [
    "TARGETID",
    "PRIORITY",
    "SUBPRIORITY",
    "NIGHT",
    "EXPID",
    "MJD",
    "TILEID",
    "EXPTIME",
    "PETAL_LOC",
    "DEVICE_LOC",
    "LOCATION",
    "FIBER",
    "FIBERSTATUS",
    "FIBERASSIGN_X",
    "FIBERASSIGN_Y",
    "LAMBDA_REF",
    "PLATE_RA",
    "PLATE_DEC",
    "NUM_ITER",
    "FIBER_X",
    "FIBER_Y",
    "DELTA_X",
    "DELTA_Y",
    "FIBER_RA",
    "FIBER_DEC",
    "PSF_TO_FIBER_SPECFLUX",
    "FLAT_TO_PSF_FLUX",
    "HELIOCOR_OFFSET",
    "COADD_FIBERSTATUS",
];

/// One row a target: its first row without the columns of single exposures; FIBERSTATUS over the exposures used (bits that
/// all have; of a target without any, bits that one has), target bits that any row has, and numbers of exposures.
pub fn of_targets(fibermap: &Fibermap, targets: &[Target], onetile: bool) -> Fibermap {
    let first: Vec<usize> = targets.iter().map(|t| t.rows[0]).collect();
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(targets.iter().map(|t| t.id).collect()));
    table.set("COADD_FIBERSTATUS", "", ColumnData::I32(coadd_status(fibermap, targets)));
    let dropped = |name: &str| {
        let is = |list: &[&str]| list.iter().any(|n| n.eq_ignore_ascii_case(name));
        is(&OF_EXPOSURE) || !onetile && is(&OF_TILE)
    };
    for column in fibermap.table.select(&first).columns().iter().filter(|c| !dropped(&c.name)) {
        table.set_column(with_all_bits(column, fibermap, targets));
    }
    add_counts(&mut table, fibermap, targets);
    add_means(&mut table, fibermap, targets, onetile);
    Fibermap { header: Header::new(), table }
}

/// One row a target and exposure, with IN_COADD_B, R and Z: whether the exposure is part of the sum.
pub fn of_exposures(fibermap: &Fibermap, targets: &[Target]) -> Fibermap {
    let mut table = Table::new();
    for column in EXPOSURES.iter().filter_map(|name| fibermap.table.column(name)) {
        table.set_column(column.clone());
    }
    for band in Band::ALL {
        let mut used = vec![false; fibermap.len()];
        targets.iter().flat_map(|t| t.rows_in(band)).for_each(|row| used[row] = true);
        let name = format!("IN_COADD_{}", band.letter().to_ascii_uppercase());
        table.set(&name, "", ColumnData::Bool(used));
    }
    Fibermap { header: Header::new(), table }
}

fn coadd_status(fibermap: &Fibermap, targets: &[Target]) -> Vec<i32> {
    let status = status_of(fibermap);
    let of_target = |target: &Target| {
        let used = target.rows_in_any();
        let bits = |rows: &[usize]| rows.iter().map(|&row| status[row]).collect::<Vec<u32>>();
        match bits(&used).into_iter().reduce(|a, b| a & b) {
            Some(common) => common as i32,
            None => bits(&target.rows).into_iter().fold(0, |a, b| a | b) as i32,
        }
    };
    targets.iter().map(of_target).collect()
}

/// A column of target bits with those of all rows; they may change from tile to tile.
fn with_all_bits(column: &Column, fibermap: &Fibermap, targets: &[Target]) -> Column {
    let all = fibermap.table.column(&column.name).map(|c| &c.data);
    match (&column.data, all) {
        (ColumnData::I64(_), Some(ColumnData::I64(bits)))
            if column.name.ends_with("_TARGET") && column.name != "FA_TARGET" =>
        {
            let of_target = |t: &Target| t.rows.iter().fold(0, |a, &row| a | bits[row]);
            Column { data: ColumnData::I64(targets.iter().map(of_target).collect()), ..column.clone() }
        }
        _ => column.clone(),
    }
}

/// Numbers of exposures, nights and tiles, and the exposure time (s).
fn add_counts(table: &mut Table, fibermap: &Fibermap, targets: &[Target]) {
    let used: Vec<Vec<usize>> = targets.iter().map(Target::rows_in_any).collect();
    let count = |of: &dyn Fn(&[usize]) -> usize| ColumnData::I16(used.iter().map(|rows| of(rows) as i16).collect());
    table.set("COADD_NUMEXP", "", count(&|rows| rows.len()));
    let seconds = fibermap.table.floats("EXPTIME").unwrap_or_else(|| vec![0.0; fibermap.len()]);
    let time = |rows: &Vec<usize>| rows.iter().map(|&row| seconds[row]).sum::<f64>() as f32;
    table.set("COADD_EXPTIME", "s", ColumnData::F32(used.iter().map(time).collect()));
    for (name, of) in [("COADD_NUMNIGHT", "NIGHT"), ("COADD_NUMTILE", "TILEID")] {
        let values = fibermap.table.ints(of);
        let different = |rows: &[usize]| {
            values.as_ref().map_or(0, |v| rows.iter().map(|&row| v[row]).collect::<BTreeSet<i64>>().len())
        };
        table.set(name, "", count(&different));
    }
}

/// Means over the exposures used, of a target without any over all of its rows.
fn add_means(table: &mut Table, fibermap: &Fibermap, targets: &[Target], onetile: bool) {
    let rows: Vec<Vec<usize>> = targets
        .iter()
        .map(|t| Some(t.rows_in_any()).filter(|used| !used.is_empty()).unwrap_or_else(|| t.rows.clone()))
        .collect();
    let column = |name: &str| fibermap.table.floats(name);
    let each = |values: &[f64], of: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        rows.iter().map(|rows| of(&rows.iter().map(|&row| values[row]).collect::<Vec<f64>>())).collect()
    };
    let narrow = |values: Vec<f64>| ColumnData::F32(values.into_iter().map(|v| v as f32).collect());
    let root_mean_square = |v: &[f64]| (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
    for name in ["DELTA_X", "DELTA_Y"] {
        if let Some(values) = column(name) {
            table.set(&format!("MEAN_{name}"), "mm", narrow(each(&values, &mean)));
            table.set(&format!("RMS_{name}"), "mm", narrow(each(&values, &root_mean_square)));
        }
    }
    let of_tile: &[&str] =
        if onetile { &["PSF_TO_FIBER_SPECFLUX", "FIBER_X", "FIBER_Y"] } else { &["PSF_TO_FIBER_SPECFLUX"] };
    for name in of_tile {
        if let Some(values) = column(name) {
            table.set(&format!("MEAN_{name}"), "", narrow(each(&values, &mean)));
        }
    }
    if let (Some(ra), Some(dec)) = (column("FIBER_RA"), column("FIBER_DEC")) {
        let declinations = each(&dec, &mean);
        // seconds of arc on the sky
        let spread = each(&ra, &|v| deviation(&unwrapped(v)));
        let on_sky = spread.iter().zip(&declinations).map(|(s, d)| 3600.0 * s * d.to_radians().cos()).collect();
        table.set("MEAN_FIBER_RA", "deg", ColumnData::F64(each(&ra, &|v| mean(&unwrapped(v)).rem_euclid(360.0))));
        table.set("STD_FIBER_RA", "arcsec", narrow(on_sky));
        table.set("MEAN_FIBER_DEC", "deg", ColumnData::F64(declinations));
        table.set("STD_FIBER_DEC", "arcsec", narrow(each(&dec, &|v| 3600.0 * deviation(v))));
    }
    if let Some(days) = column("MJD") {
        let extreme = |v: &[f64], pick: fn(f64, f64) -> f64| v.iter().copied().reduce(pick).unwrap_or(0.0);
        table.set("MIN_MJD", "d", ColumnData::F64(each(&days, &|v| extreme(v, f64::min))));
        table.set("MAX_MJD", "d", ColumnData::F64(each(&days, &|v| extreme(v, f64::max))));
        table.set("MEAN_MJD", "d", ColumnData::F64(each(&days, &mean)));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Right ascensions without the jump at 360 degrees: those of one target are close together.
fn unwrapped(ra: &[f64]) -> Vec<f64> {
    ra.iter().map(|x| ra[0] + (x - ra[0] + 180.0).rem_euclid(360.0) - 180.0).collect()
}

/// FIBERSTATUS of each row, of a coadd COADD_FIBERSTATUS.
pub fn status_of(fibermap: &Fibermap) -> Vec<u32> {
    match fibermap.table.ints("COADD_FIBERSTATUS") {
        Some(status) if fibermap.table.column("FIBERSTATUS").is_none() => {
            status.into_iter().map(|s| s as u32).collect()
        }
        _ => fibermap.fiberstatus(),
    }
}
