//! SCORES of a group: the scores of each arm's frames side by side, a row a spectrum.

use crate::{Key, Part};
use datamodel::{ColumnData, Table};
use std::collections::BTreeMap;

/// TARGETID and every number that a frame's SCORES has of a row; 0 where a row lacks an arm. Their names end
/// with their band, so that those of the arms do not meet.
pub(crate) fn merge(parts: &[Part], rows: &BTreeMap<Key, usize>) -> Table {
    let mut columns: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for part in parts {
        let Some(scores) = &part.scores else { continue };
        for column in scores.columns().iter().filter(|c| c.shape.is_empty() && !c.name.eq_ignore_ascii_case("TARGETID"))
        {
            let Some(values) = column.data.to_f64() else { continue };
            let merged = columns.entry(&column.name).or_insert_with(|| vec![0.0; rows.len()]);
            for (key, value) in part.keys.iter().zip(values) {
                merged[rows[key]] = value as f32;
            }
        }
    }
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(rows.keys().map(|key| key.0).collect()));
    for (name, values) in columns {
        table.set(name, "", ColumnData::F32(values));
    }
    table
}
