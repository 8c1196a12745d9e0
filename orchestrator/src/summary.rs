//! What the records of a folder say, in one file (run/summaries/FOLDER.json), so that a look at the states need not read
//! a million of them. Never the truth: an entry counts only while its record is on disk with the same size and time,
//! and the file may go at any time.

use crate::disk::{Stamp, stamp};
use crate::plan::json;
use crate::production::{Production, make_folder, write_atomically};
use crate::record::Past;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

// fewer new records than this are not worth writing the file
const WORTH: usize = 256;

#[derive(Serialize, Deserialize)]
struct Entry {
    size: u64,
    mtime: i64,
    past: Past,
}

/// The records of a folder that were read before.
pub struct Summary {
    path: PathBuf,
    // by the names of their files
    known: HashMap<String, Entry>,
    new: usize,
}

impl Summary {
    /// Of a folder of records; empty where no file, or one of another form, is there.
    pub fn open(production: &Production, folder: &str) -> Self {
        let path = production.summaries().join(format!("{folder}.json"));
        let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, known: known.unwrap_or_default(), new: 0 }
    }

    /// What a record says; None if it is not there or not whole.
    pub fn read(&mut self, record: &Path) -> Option<Past> {
        // looked at before it is read: one that is replaced in between is read again next time
        let Stamp { size, mtime, .. } = stamp(record)?;
        let name = record.file_name()?.to_str()?;
        if let Some(entry) = self.known.get(name).filter(|entry| (entry.size, entry.mtime) == (size, mtime)) {
            return Some(entry.past.clone());
        }
        let past = Past::read(record)?;
        self.known.insert(name.to_string(), Entry { size, mtime, past: past.clone() });
        self.new += 1;
        Some(past)
    }

    /// Writes the file if many records are new. It only saves time: whoever may not write here goes without.
    pub fn close(self) {
        if self.new >= WORTH && self.path.parent().is_some_and(|folder| make_folder(folder).is_ok()) {
            let _ = write_atomically(&self.path, &json(&self.known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::Place;

    fn write(record: &Path, reason: &str) {
        let text = format!(
            r#"{{"attempt":1,"ending":"failed","reason":"{reason}","exit_code":1,"arguments":[],"inputs":[],"outputs":[]}}"#
        );
        std::fs::write(record, text).unwrap();
    }

    #[test]
    fn a_record_is_read_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            Place { raw: Some(folder.path().into()), redux: Some(folder.path().into()), prod: Some("p".into()) };
        let production = Production::locate(&place).unwrap();
        let record = |n: usize| folder.path().join(format!("t{n}.1.json"));
        (0..WORTH).for_each(|n| write(&record(n), "first"));
        let mut summary = Summary::open(&production, "20260101");
        let all: Vec<Past> = (0..WORTH).map(|n| summary.read(&record(n)).unwrap()).collect();
        summary.close();

        let mut summary = Summary::open(&production, "20260101");
        assert!(summary.known.len() == WORTH && summary.read(&record(0)).as_ref() == all.first() && summary.new == 0);
        // replaced, damaged, removed: what is on disk counts
        write(&record(0), "second");
        std::fs::write(record(1), "{").unwrap();
        std::fs::remove_file(record(2)).unwrap();
        assert_eq!(&*summary.read(&record(0)).unwrap().reason, "second");
        assert!(summary.read(&record(1)).is_none() && summary.read(&record(2)).is_none());
        // a summary that is damaged is as none
        std::fs::write(&summary.path, "{").unwrap();
        assert!(Summary::open(&production, "20260101").known.is_empty());
    }
}
