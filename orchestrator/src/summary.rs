//! What the records of a folder say, in one file (run/summaries/FOLDER), so that a look at the states need not read a
//! million of them. Never the truth: an entry counts only while its record is on disk with the same size and time, and
//! the file may go at any time.
//!
//! After a mark come the entries, each with its length; numbers are little-endian.

use crate::disk::{Folder, Stamp};
use crate::hash::{Map, Mix};
use crate::production::{Production, make_folder, write_atomically};
use crate::record::{Ending, Past, Seen};
use std::fmt::Write;
use std::hash::Hasher;
use std::path::PathBuf;

// the name of the form in which entries are written
const MARK: &[u8; 8] = b"past  1\n";
// fewer new records than this are not worth writing the file
const WORTH: usize = 256;
const ENDINGS: [Ending; 4] = [Ending::Done, Ending::Failed, Ending::System, Ending::Stopped];

/// The records of a folder that were read before.
pub struct Summary {
    path: PathBuf,
    records: PathBuf,
    folder: Option<Folder>,
    kept: Vec<u8>,
    // where in `kept` the entry of a record begins, by the hash of its name
    places: Map<u64, usize>,
    // the entries of all records that were asked for
    next: Vec<u8>,
    new: usize,
    name: String,
}

impl Summary {
    /// Of a folder of records; empty where no file, or one of another form, is there.
    pub fn open(production: &Production, folder: &str) -> Self {
        let path = production.summaries().join(folder);
        let records = production.records().join(folder);
        let kept = std::fs::read(&path).unwrap_or_default();
        let places = places(&kept).unwrap_or_default();
        let (next, name) = (MARK.to_vec(), String::new());
        Self { folder: Folder::open(&records), path, records, kept, places, next, new: 0, name }
    }

    /// What the record of an attempt at a task says; None if it is not there or not whole.
    pub fn read(&mut self, task: &str, attempt: u32) -> Option<Past> {
        self.name.clear();
        let _ = write!(self.name, "{task}.{attempt}.json\0");
        // looked at before it is read: one that is replaced in between is read again next time
        let stamp = self.folder.as_mut()?.look(self.name.as_bytes())?;
        let name = self.name.trim_end_matches('\0');
        let known = self.places.get(&hash(name)).and_then(|place| Entry::read(&mut &self.kept[*place..]));
        let known = known.filter(|entry| entry.is_of(name, stamp));
        if let Some(past) = known.as_ref().and_then(Entry::past) {
            known.iter().for_each(|entry| entry.write(&mut self.next));
            return Some(past);
        }
        let past = Past::read(&self.records.join(name))?;
        let body = body_of(&past);
        Entry { name: name.as_bytes(), size: stamp.size, mtime: stamp.mtime, body: &body }.write(&mut self.next);
        self.new += 1;
        Some(past)
    }

    /// Writes the file if many records are new. It only saves time: whoever may not write here goes without.
    pub fn close(self) {
        if self.new >= WORTH && self.path.parent().is_some_and(|folder| make_folder(folder).is_ok()) {
            let _ = write_atomically(&self.path, &self.next);
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut mix = Mix::default();
    mix.write(name.as_bytes());
    mix.finish()
}

/// Where the entries of a file begin; None if it has another form.
fn places(kept: &[u8]) -> Option<Map<u64, usize>> {
    let mut rest = kept.strip_prefix(MARK)?;
    let mut places = Map::default();
    while !rest.is_empty() {
        let place = kept.len() - rest.len();
        places.insert(hash(std::str::from_utf8(Entry::read(&mut rest)?.name).ok()?), place);
    }
    Some(places)
}

/// A record as a file keeps it.
struct Entry<'a> {
    name: &'a [u8],
    size: u64,
    mtime: i64,
    body: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(from: &mut &'a [u8]) -> Option<Self> {
        let name = bytes(from)?;
        let (size, mtime) = (u64::from_le_bytes(take(from)?), i64::from_le_bytes(take(from)?));
        Some(Self { name, size, mtime, body: bytes(from)? })
    }

    fn write(&self, to: &mut Vec<u8>) {
        put(to, self.name);
        to.extend(self.size.to_le_bytes());
        to.extend(self.mtime.to_le_bytes());
        put(to, self.body);
    }

    fn is_of(&self, name: &str, stamp: Stamp) -> bool {
        self.name == name.as_bytes() && self.size == stamp.size && self.mtime == stamp.mtime
    }

    fn past(&self) -> Option<Past> {
        let from = &mut { self.body };
        let attempt = u32::from_le_bytes(take(from)?);
        let [ending, has_exited, has_output] = take(from)?;
        let exit_code = i32::from_le_bytes(take(from)?);
        let arguments = u64::from_le_bytes(take(from)?);
        let reason = std::str::from_utf8(bytes(from)?).ok()?.into();
        let output = if has_output == 1 { Some(seen(from)?) } else { None };
        let mut inputs = Vec::with_capacity(from.len() / size_of::<Seen>());
        while !from.is_empty() {
            inputs.push(seen(from)?);
        }
        Some(Past {
            attempt,
            ending: *ENDINGS.get(usize::from(ending))?,
            reason,
            exit_code: (has_exited == 1).then_some(exit_code),
            arguments,
            inputs: inputs.into(),
            output,
        })
    }
}

fn body_of(past: &Past) -> Vec<u8> {
    let mut to = past.attempt.to_le_bytes().to_vec();
    let ending = ENDINGS.iter().position(|ending| *ending == past.ending).unwrap_or_default() as u8;
    to.extend([ending, u8::from(past.exit_code.is_some()), u8::from(past.output.is_some())]);
    to.extend(past.exit_code.unwrap_or_default().to_le_bytes());
    to.extend(past.arguments.to_le_bytes());
    put(&mut to, past.reason.as_bytes());
    for seen in past.output.iter().chain(&past.inputs) {
        to.extend(seen.path.to_le_bytes());
        to.extend(seen.size.to_le_bytes());
        to.extend(seen.mtime.to_le_bytes());
    }
    to
}

fn seen(from: &mut &[u8]) -> Option<Seen> {
    let path = u64::from_le_bytes(take(from)?);
    let size = u64::from_le_bytes(take(from)?);
    Some(Seen { path, size, mtime: i64::from_le_bytes(take(from)?) })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*first)
}

/// Bytes after their number.
fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(from)?) as usize;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::Place;
    use std::path::Path;

    fn write(record: &Path, reason: &str) {
        let text = format!(
            r#"{{"attempt":1,"ending":"failed","reason":"{reason}","exit_code":1,"arguments":["-o","x"],
            "inputs":[{{"path":"a","size":1,"mtime_ns":-2}},{{"path":"b","size":3,"mtime_ns":4}}],
            "outputs":[{{"path":"x","size":5,"mtime_ns":6}}]}}"#
        );
        std::fs::write(record, text).unwrap();
    }

    #[test]
    fn a_record_is_read_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            Place { raw: Some(folder.path().into()), redux: Some(folder.path().into()), prod: Some("p".into()) };
        let production = Production::locate(&place).unwrap();
        let records = production.records().join("20260101");
        std::fs::create_dir_all(&records).unwrap();
        let record = |n: usize| records.join(format!("t{n}.1.json"));
        (0..WORTH).for_each(|n| write(&record(n), "first"));
        let all = |summary: &mut Summary| -> Vec<Option<Past>> {
            (0..WORTH).map(|n| summary.read(&format!("t{n}"), 1)).collect()
        };
        let mut summary = Summary::open(&production, "20260101");
        let pasts = all(&mut summary);
        assert_eq!(pasts[0], Past::read(&record(0)));
        summary.close();

        let mut summary = Summary::open(&production, "20260101");
        assert_eq!((summary.places.len(), all(&mut summary), summary.new), (WORTH, pasts, 0));
        // replaced, damaged, removed: what is on disk counts
        write(&record(0), "second");
        std::fs::write(record(1), "{").unwrap();
        std::fs::remove_file(record(2)).unwrap();
        assert_eq!(&*summary.read("t0", 1).unwrap().reason, "second");
        assert!(summary.read("t1", 1).is_none() && summary.read("t2", 1).is_none());
        // a summary that is damaged is as none
        let whole = std::fs::read(&summary.path).unwrap();
        for damaged in [&b"{"[..], &whole[..whole.len() - 1], &whole[..20]] {
            std::fs::write(&summary.path, damaged).unwrap();
            assert!(Summary::open(&production, "20260101").places.is_empty());
        }
    }
}
