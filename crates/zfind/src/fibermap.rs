//! What the fibermaps say of a target: its row of the output, and warnings.

use crate::input::{Entry, Inputs, Source};
use datamodel::{Band, Column, ColumnData, Fibermap, Table, mask::fiber, mask::zwarn};
use exposures::Target;
use std::collections::{BTreeMap, HashSet};

/// FIBERMAP and EXP_FIBERMAP of the targets. Rows of coadds stay as they are; single exposures become a row a target as
/// desi_coadd makes it, with columns of the fibre where all are of one tile.
pub fn of_targets(inputs: &Inputs) -> (Fibermap, Option<Fibermap>) {
    let known: HashSet<i64> = inputs.targets.iter().map(|t| t.id).collect();
    let mut listed: Vec<Fibermap> = inputs.sources.iter().filter_map(|s| listed_exposures(s, &known)).collect();
    let fibermap = if inputs.sources.iter().all(Source::is_coadd) {
        let first: Vec<(usize, usize)> = inputs.targets.iter().map(|t| t.rows[0]).collect();
        rows(inputs, &first)
    } else {
        let (spectra, targets, single) = together(inputs);
        let onetile = spectra.table.ints("TILEID").is_some_and(|tiles| tiles.iter().all(|t| *t == tiles[0]));
        listed.push(exposures::fibermap::of_exposures(&spectra, &targets).select(&single));
        exposures::fibermap::of_targets(&spectra, &targets, onetile)
    };
    (fibermap, stack(&listed.iter().collect::<Vec<_>>()))
}

/// The exposures that a coadd lists.
fn listed_exposures(source: &Source, known: &HashSet<i64>) -> Option<Fibermap> {
    let Source::Desi { spectra, .. } = source else { return None };
    let exposures = spectra.exp_fibermap.as_ref().filter(|_| source.is_coadd())?;
    let ids = exposures.targetids();
    Some(exposures.select(&(0..ids.len()).filter(|&r| known.contains(&ids[r])).collect::<Vec<_>>()))
}

/// The fibermaps of all files below each other, the targets' rows in it, and the rows that are single exposures. Rows of one
/// exposure in files of several arms, as in productions of 2016, are one.
fn together(inputs: &Inputs) -> (Fibermap, Vec<Target>, Vec<usize>) {
    let starts = starts(inputs);
    let mut single = Vec::new();
    let mut of_entry = |entry: &Entry| {
        let mut target = Target { id: entry.id, rows: Vec::new(), used: BTreeMap::new() };
        let mut seen: Vec<(usize, Option<(i64, i64)>)> = Vec::new();
        for &(file, row) in &entry.rows {
            let source = &inputs.sources[file];
            let exposure = value(source, "EXPID", row).zip(value(source, "FIBER", row));
            let same = |s: &(usize, Option<(i64, i64)>)| s.0 != file && exposure.is_some() && s.1 == exposure;
            let place = seen.iter().position(same).unwrap_or(seen.len());
            if place == seen.len() {
                seen.push((file, exposure));
                target.rows.push(starts[file] + row);
                single.extend((!source.is_coadd()).then_some(starts[file] + row));
            }
            for band in Band::ALL {
                let used = target.used.entry(band).or_default();
                used.resize(seen.len(), false);
                used[place] |= source.is_used(band, row);
            }
        }
        target
    };
    let targets = inputs.targets.iter().map(&mut of_entry).collect();
    single.sort_unstable();
    let parts: Vec<Fibermap> = inputs.sources.iter().map(with_fiberstatus).collect();
    (stack(&parts.iter().collect::<Vec<_>>()).unwrap_or_default(), targets, single)
}

/// A file's fibermap, a coadd's with its COADD_FIBERSTATUS as FIBERSTATUS.
fn with_fiberstatus(source: &Source) -> Fibermap {
    let mut fibermap = source.fibermap().clone();
    if let Some(status) = fibermap.table.column("COADD_FIBERSTATUS").filter(|_| source.is_coadd()).cloned() {
        fibermap.table.set_column(Column { name: "FIBERSTATUS".into(), ..status });
    }
    fibermap
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
pub fn warnings(inputs: &Inputs, target: &Entry, status: u32) -> i64 {
    let (file, row) = target.rows[0];
    let objtype = inputs.sources[file].fibermap().table.strings("OBJTYPE").map_or("TGT", |v| v[row].trim());
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

/// Status of each target's fibres: COADD_FIBERSTATUS of its row in `fibermap`; of several coadds, the bits that all have.
pub fn statuses(inputs: &Inputs, fibermap: &Fibermap) -> Vec<u32> {
    if !inputs.sources.iter().all(Source::is_coadd) {
        return exposures::fibermap::status_of(fibermap);
    }
    let status = |&(f, r): &(usize, usize)| {
        let source = &inputs.sources[f];
        value(source, "COADD_FIBERSTATUS", r).or_else(|| value(source, "FIBERSTATUS", r)).unwrap_or(0) as u32
    };
    inputs.targets.iter().map(|t| t.rows.iter().map(status).fold(u32::MAX, |all, s| all & s)).collect()
}

/// An integer of a file's fibermap.
pub(crate) fn value(source: &Source, column: &str, row: usize) -> Option<i64> {
    match &source.fibermap().table.column(column)?.data {
        ColumnData::I16(v) => v.get(row).map(|&x| i64::from(x)),
        ColumnData::I32(v) => v.get(row).map(|&x| i64::from(x)),
        ColumnData::I64(v) => v.get(row).copied(),
        other => other.to_i64()?.get(row).copied(),
    }
}

/// Rows of several files in the given order.
fn rows(inputs: &Inputs, wanted: &[(usize, usize)]) -> Fibermap {
    let all: Vec<&Fibermap> = inputs.sources.iter().map(Source::fibermap).collect();
    let starts = starts(inputs);
    let stacked = stack(&all).unwrap_or_default();
    stacked.select(&wanted.iter().map(|&(f, r)| starts[f] + r).collect::<Vec<_>>())
}

/// Where the rows of each file begin, below each other.
fn starts(inputs: &Inputs) -> Vec<usize> {
    let lengths = inputs.sources.iter().map(|s| s.fibermap().len());
    lengths.scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect()
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
