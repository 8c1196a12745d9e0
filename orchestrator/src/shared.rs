//! Files by a key that several have in common.

use crate::graph::FileId;
use crate::hash::Map;
use crate::keys::Key;
use std::ops::Range;

/// Files by a key that several may have.
pub struct Shared {
    files: Vec<FileId>,
    by_key: Map<Key, Range<usize>>,
}

impl Shared {
    /// From keys and files; those of a key sorted by their places.
    pub fn new<P: Ord>(mut pairs: Vec<(Key, FileId)>, place: impl Fn(&FileId) -> P) -> Self {
        // most often those of a key come together
        let by_key = ranges(&pairs).or_else(|| {
            pairs.sort_by_key(|(key, _)| *key);
            ranges(&pairs)
        });
        let mut files: Vec<FileId> = pairs.into_iter().map(|(_, file)| file).collect();
        let mut by_key = by_key.unwrap_or_default();
        for range in by_key.values_mut() {
            let list = &mut files[range.clone()];
            if !list.is_sorted_by_key(&place) {
                list.sort_by_cached_key(&place);
            }
            range.end = range.start + dedup(list);
        }
        Self { files, by_key }
    }

    /// Those of a key.
    pub fn of(&self, key: &Key) -> &[FileId] {
        self.by_key.get(key).map_or(&[], |range| &self.files[range.clone()])
    }
}

/// Where the files of each key stand; None if they are scattered.
fn ranges(pairs: &[(Key, FileId)]) -> Option<Map<Key, Range<usize>>> {
    let mut ranges = Map::default();
    let mut start = 0;
    for run in pairs.chunk_by(|a, b| a.0 == b.0) {
        if ranges.insert(run[0].0, start..start + run.len()).is_some() {
            return None;
        }
        start += run.len();
    }
    Some(ranges)
}

/// Moves the first of equal neighbours to the front; how many these are.
fn dedup(list: &mut [FileId]) -> usize {
    let mut kept = 0;
    for at in 0..list.len() {
        if kept == 0 || list[kept - 1] != list[at] {
            list[kept] = list[at];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DESI, Table};

    #[test]
    fn files_are_found_by_their_key_sorted_and_once() {
        let (_, mut space) = Table::parse(DESI).unwrap();
        let dim = space.dim("brick").unwrap();
        let [a, b, none] = ["A", "B", "C"].map(|text| {
            let id = space.intern(dim, text).unwrap();
            space.with(Key::default(), dim, id)
        });
        let files = |ids: &[u32]| ids.iter().copied().map(FileId).collect::<Vec<_>>();
        let together = vec![(a, FileId(3)), (a, FileId(1)), (a, FileId(3)), (b, FileId(2))];
        let scattered = vec![(a, FileId(3)), (b, FileId(2)), (a, FileId(1)), (b, FileId(2)), (a, FileId(3))];
        for pairs in [together, scattered] {
            let shared = Shared::new(pairs, |file| file.0);
            assert_eq!((shared.of(&a), shared.of(&b)), (&files(&[1, 3])[..], &files(&[2])[..]));
            assert!(shared.of(&none).is_empty());
        }
    }
}
