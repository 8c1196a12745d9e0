//! The part of a production that a run is about: some nights, some spectrographs.

use crate::graph::{FileId, Graph, TaskId};
use crate::keys::Key;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Which tasks belong to a run.
#[derive(Debug, Clone)]
pub struct Slice {
    inside: Vec<bool>,
}

impl Slice {
    /// All tasks.
    pub fn whole(graph: &Graph) -> Self {
        Self { inside: vec![true; graph.tasks.len()] }
    }

    /// The tasks whose keys are in these sets (key, values); a task that has no such key of its own belongs if one of
    /// its inputs does.
    ///
    /// # Errors
    /// [`Error::Table`] if the table has no such keys.
    pub fn new(graph: &Graph, limits: &[(&str, &BTreeSet<String>)]) -> Result<Self> {
        let limit = |(key, values): &(&str, _)| Ok((graph.space.dim(key)?, *values));
        let limits: Vec<(usize, &BTreeSet<String>)> = limits.iter().map(limit).collect::<Result<_>>()?;
        let fits = |key: &Key| {
            limits.iter().all(|(dim, allowed)| key.get(*dim).is_none() || allowed.contains(graph.space.text(key, *dim)))
        };
        let mut slice = Self { inside: Vec::with_capacity(graph.tasks.len()) };
        for id in graph.ids() {
            let key = graph.key(id);
            let has_all = limits.iter().all(|(dim, _)| key.get(*dim).is_some());
            let by_inputs = || {
                let mut files = graph.needs(id).iter().flat_map(|need| graph.alternatives(need));
                files.any(|file: &FileId| match graph.file(*file).maker {
                    Some(maker) => slice.holds(maker),
                    None => fits(&graph.file(*file).key),
                })
            };
            let inside = fits(key) && (has_all || by_inputs());
            slice.inside.push(inside);
        }
        Ok(slice)
    }

    /// Whether a task belongs.
    pub fn holds(&self, task: TaskId) -> bool {
        self.inside[task.0 as usize]
    }
}

/// A comma list of nights that the production has.
///
/// # Errors
/// [`Error::Usage`] names a night that it has not.
pub fn nights(list: &[String], known: &[String]) -> Result<BTreeSet<String>> {
    if let Some(stranger) = list.iter().find(|night| !known.contains(night)) {
        let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
        return Err(Error::Usage(format!("the production has no night {stranger} (it has {known})")));
    }
    Ok(list.iter().cloned().collect())
}

/// A comma list of exposures and ranges, with or without leading zeros: those of them that are known.
///
/// # Errors
/// [`Error::Usage`] for what is no number, or a range in which no exposure is.
pub fn expids(list: &[String], known: &[String]) -> Result<BTreeSet<String>> {
    let number =
        |text: &str| text.trim().parse::<u64>().map_err(|_| Error::Usage(format!("'{text}' is no exposure number")));
    let mut set = BTreeSet::new();
    for (range, item) in ranges(list, number)?.into_iter().zip(list) {
        let is_inside = |id: &&String| id.parse().is_ok_and(|id: u64| range.contains(&id));
        let inside: Vec<&String> = known.iter().filter(is_inside).collect();
        set.extend(inside.iter().copied().cloned());
        if inside.is_empty() {
            return Err(Error::Usage(format!("the production has no exposure {item}")));
        }
    }
    Ok(set)
}

/// A comma list of spectrographs and ranges: `0,2,5-7`.
///
/// # Errors
/// [`Error::Usage`] for what is no number from 0 to 9.
pub fn spectrographs(list: &[String]) -> Result<BTreeSet<String>> {
    let number = |text: &str| match text.trim().parse::<u8>() {
        Ok(n) if n <= 9 => Ok(n),
        _ => Err(Error::Usage(format!("'{text}' is no spectrograph (0 to 9)"))),
    };
    Ok(ranges(list, number)?.into_iter().flatten().map(|n| n.to_string()).collect())
}

fn ranges<T: PartialOrd>(list: &[String], number: impl Fn(&str) -> Result<T>) -> Result<Vec<RangeInclusive<T>>> {
    let range = |item: &String| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let range = number(first)?..=number(last)?;
        if range.is_empty() { Err(Error::Usage(format!("'{item}' ends before it begins"))) } else { Ok(range) }
    };
    list.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::{expids, spectrographs};

    #[test]
    fn lists_and_ranges() {
        let list = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
        let set = spectrographs(&list("0,5-7")).unwrap();
        assert_eq!(set.into_iter().collect::<String>(), "0567");
        assert!(spectrographs(&list("10")).is_err());
        assert!(spectrographs(&list("x")).is_err());
        assert!(spectrographs(&list("3-1")).is_err());
        let known = list("00000006,00000007,00000009,00000012");
        let set = expids(&list("00000012,7-10"), &known).unwrap();
        assert_eq!(set.into_iter().collect::<Vec<_>>(), ["00000007", "00000009", "00000012"]);
        assert!(expids(&list("8"), &known).unwrap_err().to_string().contains("no exposure 8"));
    }
}
