//! What the fibermaps say of a target: its row of the output, and warnings.

use crate::input::{Entry, Inputs, Source};
use datamodel::{Column, ColumnData, Fibermap, Table, mask::fiber, mask::zwarn};
use std::collections::HashSet;

/// Columns of single exposures, which a coadd's FIBERMAP does not have and its EXP_FIBERMAP has (besides TARGETID and
/// those of the fibre).
const EXPOSURE_COLUMNS: [&str; 26] = [
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
    "PRIORITY",
    "SUBPRIORITY",
];

/// Of those, the ones that a coadd's FIBERMAP keeps from the first exposure.
const KEPT: [&str; 9] = [
    "PETAL_LOC",
    "DEVICE_LOC",
    "LOCATION",
    "FIBER",
    "FIBERASSIGN_X",
    "FIBERASSIGN_Y",
    "PLATE_RA",
    "PLATE_DEC",
    "PRIORITY",
];

/// One row a target: that of its first spectrum, with COADD_FIBERSTATUS, COADD_NUMEXP, COADD_EXPTIME,
/// COADD_NUMNIGHT and COADD_NUMTILE over all its spectra; rows of coadds stay as they are.
pub fn of_targets(inputs: &Inputs) -> Fibermap {
    let first: Vec<(usize, usize)> = inputs.targets.iter().map(|t| t.rows[0]).collect();
    let mut fibermap = rows(inputs, &first);
    if inputs.sources.iter().all(Source::is_coadd) {
        return fibermap;
    }
    for name in EXPOSURE_COLUMNS.iter().filter(|n| !KEPT.contains(n)) {
        fibermap.table = without(&fibermap.table, name);
    }
    let status = inputs.targets.iter().map(|t| coadd_fiberstatus(inputs, t) as i32).collect();
    fibermap.table.set("COADD_FIBERSTATUS", "", ColumnData::I32(status));
    let distinct = |name: &str| {
        let count = |t: &Entry| {
            let mut values: Vec<i64> = t.rows.iter().filter_map(|&(f, r)| value(&inputs.sources[f], name, r)).collect();
            values.sort_unstable();
            values.dedup();
            values.len().max(1) as i16
        };
        ColumnData::I16(inputs.targets.iter().map(count).collect())
    };
    let exptime =
        |t: &Entry| -> f32 { t.rows.iter().map(|&(f, r)| float(&inputs.sources[f], "EXPTIME", r)).sum::<f64>() as f32 };
    fibermap.table.set("COADD_NUMEXP", "", distinct("EXPID"));
    fibermap.table.set("COADD_EXPTIME", "s", ColumnData::F32(inputs.targets.iter().map(exptime).collect()));
    fibermap.table.set("COADD_NUMNIGHT", "", distinct("NIGHT"));
    fibermap.table.set("COADD_NUMTILE", "", distinct("TILEID"));
    fibermap
}

/// One row a target and exposure: those of the coadds, and those of single exposures.
pub fn of_exposures(inputs: &Inputs) -> Option<Fibermap> {
    let known: HashSet<i64> = inputs.targets.iter().map(|t| t.id).collect();
    let mut parts: Vec<Fibermap> = Vec::new();
    for (file, source) in inputs.sources.iter().enumerate() {
        match source {
            Source::Desi { spectra, .. } if source.is_coadd() => {
                let Some(exposures) = &spectra.exp_fibermap else { continue };
                let ids = exposures.targetids();
                let wanted = |r: &usize| known.contains(&ids[*r]);
                parts.push(exposures.select(&(0..ids.len()).filter(wanted).collect::<Vec<_>>()));
            }
            Source::Desi { spectra, .. } => {
                let mut mine: Vec<usize> =
                    inputs.targets.iter().flat_map(|t| &t.rows).filter(|r| r.0 == file).map(|r| r.1).collect();
                mine.sort_unstable();
                let mut part = spectra.fibermap.select(&mine);
                let mut table = Table::new();
                for c in part.table.columns() {
                    if c.name == "TARGETID" || EXPOSURE_COLUMNS.contains(&c.name.as_str()) {
                        table.set_column(c.clone());
                    }
                }
                part.table = table;
                parts.push(part);
            }
            Source::Sdss(_) => {}
        }
    }
    stack(&parts.iter().collect::<Vec<_>>())
}

/// TSNR2 of each target: the sums over its spectra of the SCORES columns of that name.
pub fn tsnr2(inputs: &Inputs) -> Option<Table> {
    let scores = |file: usize| match &inputs.sources[file] {
        Source::Desi { spectra, .. } => spectra.scores.as_ref(),
        Source::Sdss(_) => None,
    };
    let first = (0..inputs.sources.len()).find_map(scores)?;
    let names: Vec<&String> = first.columns().iter().map(|c| &c.name).filter(|n| n.starts_with("TSNR2_")).collect();
    if names.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(inputs.targets.iter().map(|t| t.id).collect()));
    for name in names {
        let columns: Vec<Vec<f64>> =
            (0..inputs.sources.len()).map(|f| scores(f).and_then(|s| s.floats(name)).unwrap_or_default()).collect();
        let sum = |t: &Entry| {
            t.rows.iter().filter_map(|&(f, r)| columns[f].get(r)).filter(|x| x.is_finite()).sum::<f64>() as f32
        };
        table.set(name, "", ColumnData::F32(inputs.targets.iter().map(sum).collect()));
    }
    Some(table)
}

/// Warnings that DESI derives from OBJTYPE and COADD_FIBERSTATUS (formats.md 14.4).
pub fn warnings(inputs: &Inputs, target: &Entry) -> i64 {
    let (file, row) = target.rows[0];
    let objtype = inputs.sources[file].fibermap().table.strings("OBJTYPE").map_or("TGT", |v| v[row].trim());
    let status = coadd_fiberstatus(inputs, target);
    let has = |bits: u32| status & bits != 0;
    let known = objtype == "TGT" || objtype == "SKY";
    let flag = |on: bool, bit: i64| if on { bit } else { 0 };
    flag(objtype == "SKY", zwarn::SKY)
        | flag(has(fiber::BADAMPB | fiber::BADAMPR | fiber::BADAMPZ), zwarn::LITTLE_COVERAGE)
        | flag(has(fiber::BROKENFIBER), zwarn::UNPLUGGED)
        | flag(!known, zwarn::BAD_TARGET)
        | flag(!known || has(fiber::BADPOSITION | fiber::BROKENFIBER | fiber::UNASSIGNED), zwarn::NODATA)
        | flag(has(fiber::POORPOSITION), zwarn::POORDATA)
}

/// Bits that all spectra of a target have.
fn coadd_fiberstatus(inputs: &Inputs, target: &Entry) -> u32 {
    let status = |&(f, r): &(usize, usize)| {
        let source = &inputs.sources[f];
        value(source, "COADD_FIBERSTATUS", r).or_else(|| value(source, "FIBERSTATUS", r)).unwrap_or(0) as u32
    };
    target.rows.iter().map(status).fold(u32::MAX, |all, s| all & s)
}

fn value(source: &Source, column: &str, row: usize) -> Option<i64> {
    match &source.fibermap().table.column(column)?.data {
        ColumnData::I16(v) => v.get(row).map(|&x| i64::from(x)),
        ColumnData::I32(v) => v.get(row).map(|&x| i64::from(x)),
        ColumnData::I64(v) => v.get(row).copied(),
        other => other.to_i64()?.get(row).copied(),
    }
}

fn float(source: &Source, column: &str, row: usize) -> f64 {
    let column = source.fibermap().table.floats(column);
    column.and_then(|v| v.get(row).copied()).filter(|x| x.is_finite()).unwrap_or(0.0)
}

/// Rows of several files in the given order.
fn rows(inputs: &Inputs, wanted: &[(usize, usize)]) -> Fibermap {
    let all: Vec<&Fibermap> = inputs.sources.iter().map(Source::fibermap).collect();
    let starts: Vec<usize> = all.iter().scan(0, |sum, f| Some(std::mem::replace(sum, *sum + f.len()))).collect();
    let stacked = stack(&all).unwrap_or_default();
    stacked.select(&wanted.iter().map(|&(f, r)| starts[f] + r).collect::<Vec<_>>())
}

/// One below the other, with the columns that any of them has: 0 or empty where one lacks it.
fn stack(parts: &[&Fibermap]) -> Option<Fibermap> {
    let (first, others) = parts.split_first()?;
    let mut stacked = (*first).clone();
    for column in others.iter().flat_map(|p| p.table.columns()) {
        if stacked.table.column(&column.name).is_none() {
            stacked.table.set_column(empty(column, first.len()));
        }
    }
    for part in others {
        if let Err(column) = stacked.table.append(&conforming(&part.table, &stacked.table)) {
            log::warn!("fibermaps: column {column} differs between the files, whose rows are left out");
        }
    }
    Some(stacked)
}

/// The columns of `like`, in its types and shapes.
fn conforming(table: &Table, like: &Table) -> Table {
    let mut t = Table::new();
    for c in like.columns() {
        let same = table.column(&c.name).and_then(|o| converted(o, c));
        t.set_column(same.unwrap_or_else(|| empty(c, table.nrows())));
    }
    t
}

/// A column in the type of another: integers and reals of any width; `None` if it has another shape or kind, or values
/// that the type does not hold.
fn converted(column: &Column, like: &Column) -> Option<Column> {
    fn narrow<T: TryFrom<i64>>(values: Vec<i64>) -> Option<Vec<T>> {
        values.into_iter().map(|x| x.try_into().ok()).collect()
    }
    let alike = std::mem::discriminant(&column.data) == std::mem::discriminant(&like.data);
    if column.shape != like.shape || alike {
        return (column.shape == like.shape).then(|| column.clone());
    }
    let data = match &like.data {
        ColumnData::U8(_) => ColumnData::U8(narrow(column.data.to_i64()?)?),
        ColumnData::I16(_) => ColumnData::I16(narrow(column.data.to_i64()?)?),
        ColumnData::I32(_) => ColumnData::I32(narrow(column.data.to_i64()?)?),
        ColumnData::I64(_) => ColumnData::I64(column.data.to_i64()?),
        ColumnData::F32(_) => ColumnData::F32(column.data.to_f64()?.into_iter().map(|x| x as f32).collect()),
        ColumnData::F64(_) => ColumnData::F64(column.data.to_f64()?),
        ColumnData::Bool(_) | ColumnData::Str { .. } => return None,
    };
    Some(Column { data, ..like.clone() })
}

/// A column of zeros or empty strings.
fn empty(like: &Column, nrows: usize) -> Column {
    let n = nrows * like.repeat();
    let data = match &like.data {
        ColumnData::Bool(_) => ColumnData::Bool(vec![false; n]),
        ColumnData::U8(_) => ColumnData::U8(vec![0; n]),
        ColumnData::I16(_) => ColumnData::I16(vec![0; n]),
        ColumnData::I32(_) => ColumnData::I32(vec![0; n]),
        ColumnData::I64(_) => ColumnData::I64(vec![0; n]),
        ColumnData::F32(_) => ColumnData::F32(vec![0.0; n]),
        ColumnData::F64(_) => ColumnData::F64(vec![0.0; n]),
        ColumnData::Str { width, .. } => ColumnData::Str { width: *width, values: vec![String::new(); n] },
    };
    Column { data, ..like.clone() }
}

fn without(table: &Table, name: &str) -> Table {
    let mut t = Table::new();
    table.columns().iter().filter(|c| c.name != name).for_each(|c| _ = t.set_column(c.clone()));
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use datamodel::Header;

    fn fibermap(columns: &[(&str, ColumnData)]) -> Fibermap {
        let mut table = Table::new();
        columns.iter().for_each(|(name, data)| _ = table.set(name, "", data.clone()));
        Fibermap { header: Header::new(), table }
    }

    /// Types differ between the releases: values are kept where the first file's type holds them.
    #[test]
    fn fibermaps_of_other_types_and_columns_are_stacked() {
        let a = fibermap(&[("TARGETID", ColumnData::I64(vec![1])), ("FLUX", ColumnData::F32(vec![0.5]))]);
        let b = fibermap(&[
            ("FLUX", ColumnData::F64(vec![0.25, 4.0])),
            ("TARGETID", ColumnData::I32(vec![2, 3])),
            ("TILE", ColumnData::I16(vec![7, 8])),
        ]);
        let c = fibermap(&[("TILE", ColumnData::I64(vec![70_000])), ("TARGETID", ColumnData::F64(vec![4.0]))]);
        let t = stack(&[&a, &b, &c]).unwrap().table;
        // a real number is no TARGETID, and 70,000 no 16-bit integer
        assert_eq!(t.ints("TARGETID"), Some(vec![1, 2, 3, 0]));
        assert_eq!(t.column("FLUX").unwrap().data, ColumnData::F32(vec![0.5, 0.25, 4.0, 0.0]));
        assert_eq!(t.column("TILE").unwrap().data, ColumnData::I16(vec![0, 7, 8, 0]));
    }
}
