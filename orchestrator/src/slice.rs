//! The part of a production that a run is about: some nights, some spectrographs.

use crate::graph::{FileId, Graph, TaskId};
use crate::keys::Key;
use crate::{Error, Result};
use std::collections::BTreeSet;

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

    /// The tasks of these nights and spectrographs (None: of all); a task that has no night or spectrograph of its
    /// own belongs if one of its inputs does.
    ///
    /// # Errors
    /// [`Error::Table`] if the table has no such keys.
    pub fn new(
        graph: &Graph,
        nights: Option<&BTreeSet<String>>,
        spectrographs: Option<&BTreeSet<String>>,
    ) -> Result<Self> {
        let limits = [(graph.space.dim("night")?, nights), (graph.space.dim("spectrograph")?, spectrographs)];
        let limits: Vec<(usize, &BTreeSet<String>)> = limits.into_iter().filter_map(|(d, l)| Some((d, l?))).collect();
        let fits = |key: &Key| {
            limits.iter().all(|(dim, allowed)| key.get(*dim).is_none() || allowed.contains(graph.space.text(key, *dim)))
        };
        let mut slice = Self { inside: Vec::with_capacity(graph.tasks.len()) };
        for id in graph.ids() {
            let key = &graph.task(id).key;
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
pub fn nights(list: &[String], known: &[String]) -> Result<Option<BTreeSet<String>>> {
    if let Some(stranger) = list.iter().find(|night| !known.contains(night)) {
        let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
        return Err(Error::Usage(format!("the production has no night {stranger} (it has {known})")));
    }
    Ok(Some(list.iter().cloned().collect::<BTreeSet<String>>()).filter(|set| !set.is_empty()))
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
    let mut set = BTreeSet::new();
    for item in list {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        set.extend((number(first)?..=number(last)?).map(|n| n.to_string()));
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::spectrographs;

    #[test]
    fn lists_and_ranges() {
        let list = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
        let set = spectrographs(&list("0,5-7")).unwrap();
        assert_eq!(set.into_iter().collect::<String>(), "0567");
        assert!(spectrographs(&list("10")).is_err());
        assert!(spectrographs(&list("x")).is_err());
    }
}
