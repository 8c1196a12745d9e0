//! Fibermaps of 2016 in today's terms.

use crate::mask::target::STD_FAINT;
use crate::{Column, ColumnData, Table};

/// Columns of the same meaning: 2016's name and today's.
const RENAMED: [(&str, &str); 13] = [
    ("RA_TARGET", "TARGET_RA"),
    ("DEC_TARGET", "TARGET_DEC"),
    ("RA_OBS", "FIBER_RA"),
    ("DEC_OBS", "FIBER_DEC"),
    ("X_TARGET", "FIBERASSIGN_X"),
    ("Y_TARGET", "FIBERASSIGN_Y"),
    ("X_FVCOBS", "FIBER_X"),
    ("Y_FVCOBS", "FIBER_Y"),
    ("X_FVCERR", "FVCERR_X"),
    ("Y_FVCERR", "FVCERR_Y"),
    ("LAMBDAREF", "LAMBDA_REF"),
    ("SPECTROID", "PETAL_LOC"),
    ("POSITIONER", "DEVICE_LOC"),
];
/// Filters of column FILTER and the flux that they measure.
const FLUXES: [(&[&str], &str); 5] = [
    (&["DECAM_G", "SDSS_G"], "FLUX_G"),
    (&["DECAM_R", "SDSS_R"], "FLUX_R"),
    (&["DECAM_Z", "SDSS_Z"], "FLUX_Z"),
    (&["WISE1"], "FLUX_W1"),
    (&["WISE2"], "FLUX_W2"),
];

/// A table with 2016's columns MAG and FILTER in today's columns; any other table as it is.
pub(crate) fn translate(table: Table) -> Table {
    let (Some(mag), Some(filter)) = (table.column("MAG"), table.column("FILTER")) else { return table };
    let fluxes = fluxes(mag, filter);
    let objtypes = table.strings("OBJTYPE").map(<[String]>::to_vec);
    let mut today = Table::new();
    for c in table.columns().iter().filter(|c| !["MAG", "FILTER"].contains(&c.name.as_str())) {
        let name = RENAMED.iter().find(|(old, _)| *old == c.name).map_or(c.name.as_str(), |(_, new)| new);
        today.set_column(Column { name: name.to_string(), ..c.clone() });
    }
    for (name, flux) in fluxes {
        today.set(name, "nanomaggy", ColumnData::F32(flux));
    }
    if let Some(types) = objtypes {
        set_types(&mut today, &types);
    }
    set_locations(&mut today);
    if today.column("FIBERSTATUS").is_none() {
        today.set("FIBERSTATUS", "", ColumnData::I32(vec![0; table.nrows()]));
    }
    today
}

/// Fluxes in nanomaggy (AB magnitude 22.5) of the filters that occur; 0 where a row has no magnitude.
fn fluxes(mag: &Column, filter: &Column) -> Vec<(&'static str, Vec<f32>)> {
    let (Some(mags), ColumnData::Str { width, values }) = (mag.data.to_f64(), &filter.data) else { return vec![] };
    let n = mag.repeat().max(1);
    // A vector of strings is read as one string of equal pieces.
    let piece = width / n;
    let name = |row: usize, k: usize| values[row].get(k * piece..).map_or("", |s| s.get(..piece).unwrap_or(s)).trim();
    let of_row = |row: usize, filters: &[&str]| {
        let k = (0..n).find(|&k| filters.contains(&name(row, k)))?;
        Some(mags[row * n + k]).filter(|m| m.is_finite() && *m > 0.0).map(|m| 10f64.powf(0.4 * (22.5 - m)) as f32)
    };
    FLUXES
        .iter()
        .filter(|(filters, _)| (0..values.len()).any(|row| of_row(row, filters).is_some()))
        .map(|(filters, flux)| (*flux, (0..values.len()).map(|row| of_row(row, filters).unwrap_or(0.0)).collect()))
        .collect()
}

/// OBJTYPE of today (TGT, SKY, BAD), FA_TYPE, and the target bit of the standard stars.
fn set_types(table: &mut Table, types: &[String]) {
    let today = |t: &String| match t.trim() {
        "SKY" => ("SKY", 4),
        "STD" => ("TGT", 3),
        "" | "BAD" | "UNKNOWN" => ("BAD", 0),
        _ => ("TGT", 1),
    };
    let old = table.ints("DESI_TARGET").unwrap_or_else(|| vec![0; types.len()]);
    let bits = types.iter().zip(old).map(|(t, b)| if t.trim() == "STD" { b | STD_FAINT } else { b }).collect();
    let names = types.iter().map(|t| today(t).0.to_string()).collect();
    table.set("OBJTYPE", "", ColumnData::Str { width: 3, values: names });
    table.set("FA_TYPE", "", ColumnData::U8(types.iter().map(|t| today(t).1).collect()));
    table.set("DESI_TARGET", "", ColumnData::I64(bits));
}

/// LOCATION from petal and device.
fn set_locations(table: &mut Table) {
    if let (Some(petal), Some(device)) = (table.ints("PETAL_LOC"), table.ints("DEVICE_LOC")) {
        let location = petal.iter().zip(&device).map(|(p, d)| 1000 * p + d).collect();
        table.set("LOCATION", "", ColumnData::I64(location));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fibermap;

    #[test]
    fn magnitudes_and_types_become_todays_columns() {
        let strings = |v: &[&str], width| ColumnData::Str { width, values: v.iter().map(|s| s.to_string()).collect() };
        let mut t = Table::new();
        t.set("FIBER", "", ColumnData::I32(vec![500, 501, 502]));
        t.set("OBJTYPE", "", strings(&["ELG", "STD", "SKY"], 10));
        t.set_column(Column {
            name: "MAG".into(),
            unit: String::new(),
            shape: vec![2],
            data: ColumnData::F32(vec![22.5, 20.0, 17.5, 0.0, 0.0, 0.0]),
        });
        t.set("FILTER", "", strings(&["DECAM_R   DECAM_Z", "DECAM_R", ""], 20));
        t.set("RA_TARGET", "", ColumnData::F64(vec![1.0, 2.0, 3.0]));
        t.set("SPECTROID", "", ColumnData::I32(vec![1, 1, 1]));
        t.set("POSITIONER", "", ColumnData::I32(vec![7, 8, 9]));
        let map = Fibermap { table: translate(t), ..Default::default() };
        assert_eq!(map.table.floats("FLUX_R"), Some(vec![1.0, 100.0, 0.0]));
        assert_eq!(map.table.floats("FLUX_Z"), Some(vec![10.0, 0.0, 0.0]));
        assert_eq!(map.table.column("FLUX_G"), None);
        assert_eq!(map.is_standard(), [false, true, false]);
        assert_eq!(map.is_sky(), [false, false, true]);
        assert_eq!(map.table.strings("OBJTYPE").unwrap(), ["TGT", "TGT", "SKY"]);
        assert_eq!(map.table.ints("LOCATION"), Some(vec![1007, 1008, 1009]));
        assert_eq!(map.table.floats("TARGET_RA"), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!(map.fiberstatus(), [0, 0, 0]);
    }
}
