//! Keys: what tells one file or task from another of its kind (night, exposure, camera ...).
//!
//! The table declares the keys and the form of their texts; a key may carry others with it (camera `b0` is band `b`
//! of spectrograph `0`). Texts are interned, so that a [`Key`] is a few integers however many tasks there are.

use crate::hash::Map;
use crate::{Error, Result};
use regex::Regex;
use std::collections::BTreeMap;

/// The most keys that a table may declare.
pub const MAX_DIMS: usize = 8;
const NONE: u32 = u32::MAX;

/// A set of keys, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dims(u8);

impl Dims {
    /// The set of one.
    pub fn one(dim: usize) -> Self {
        Self(1 << dim)
    }

    /// Those in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `dim` is in it.
    pub fn has(self, dim: usize) -> bool {
        self.0 & (1 << dim) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the table's order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_DIMS).filter(move |d| self.has(*d))
    }
}

/// The value of each key, as ids in a [`Space`]; some may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u32; MAX_DIMS]);

impl Default for Key {
    fn default() -> Self {
        Self([NONE; MAX_DIMS])
    }
}

impl Key {
    /// The id of a key's value, if it has one.
    pub fn get(&self, dim: usize) -> Option<u32> {
        (self.0[dim] != NONE).then_some(self.0[dim])
    }

    /// The keys that have a value.
    pub fn dims(&self) -> Dims {
        (0..MAX_DIMS).filter(|d| self.0[*d] != NONE).fold(Dims::default(), |set, d| set.or(Dims::one(d)))
    }

    /// Whether these keys have the same values in another one.
    pub fn agrees(&self, other: &Self, dims: Dims) -> bool {
        dims.iter().all(|dim| self.0[dim] == other.0[dim])
    }

    /// The same with only these keys.
    pub fn project(&self, dims: Dims) -> Self {
        let mut key = Self::default();
        for dim in dims.iter() {
            key.0[dim] = self.0[dim];
        }
        key
    }
}

#[derive(Debug, Clone)]
struct Dimension {
    name: String,
    form: Regex,
    follows: Vec<usize>,
    texts: Vec<String>,
    // for each value the values that follow from it
    followers: Vec<Vec<(usize, u32)>>,
    ids: Map<String, u32>,
}

/// The keys of a pipeline and all the values seen so far.
#[derive(Debug, Clone)]
pub struct Space {
    dims: Vec<Dimension>,
}

impl Space {
    /// All values of a key.
    pub fn values(&self, dim: usize) -> &[String] {
        &self.dims[dim].texts
    }

    /// From the table's `[keys]`: name and regular expression; a named group is a key that follows from this one.
    ///
    /// # Errors
    /// [`Error::Table`] for a bad expression or an undeclared group.
    pub fn new(keys: &BTreeMap<String, String>) -> Result<Self> {
        if keys.len() > MAX_DIMS {
            return Err(Error::Table(format!("{} keys, {MAX_DIMS} are allowed", keys.len())));
        }
        let names: Vec<&String> = keys.keys().collect();
        let mut dims = Vec::new();
        for (name, form) in keys {
            let form = Regex::new(&format!("^(?:{form})$")).map_err(|e| Error::Table(format!("key {name}: {e}")))?;
            let mut follows = Vec::new();
            for group in form.capture_names().flatten() {
                let dim = names.iter().position(|n| *n == group);
                follows.push(dim.ok_or_else(|| Error::Table(format!("key {name} names an unknown key {group}")))?);
            }
            dims.push(Dimension {
                name: name.clone(),
                form,
                follows,
                texts: Vec::new(),
                followers: Vec::new(),
                ids: Map::default(),
            });
        }
        Ok(Self { dims })
    }

    /// The index of a key.
    ///
    /// # Errors
    /// [`Error::Table`] if there is none of this name.
    pub fn dim(&self, name: &str) -> Result<usize> {
        let dim = self.dims.iter().position(|d| d.name == name);
        dim.ok_or_else(|| Error::Table(format!("no key is called {name}")))
    }

    /// The name of a key.
    pub fn name(&self, dim: usize) -> &str {
        &self.dims[dim].name
    }

    /// The form of a key's text, as a regular expression without anchors and named groups.
    pub fn form(&self, dim: usize) -> String {
        let anchored = self.dims[dim].form.as_str();
        let form = &anchored["^(?:".len()..anchored.len() - ")$".len()];
        self.dims[dim]
            .follows
            .iter()
            .fold(form.to_string(), |form, follower| form.replace(&format!("(?<{}>", self.dims[*follower].name), "(?:"))
    }

    /// Whether the text has the form of this key.
    pub fn fits(&self, dim: usize, text: &str) -> bool {
        self.dims[dim].form.is_match(text)
    }

    /// These keys and all that follow from them.
    pub fn closure(&self, dims: Dims) -> Dims {
        dims.iter().flat_map(|d| self.dims[d].follows.iter()).fold(dims, |set, follower| set.or(Dims::one(*follower)))
    }

    /// The id of a text, interned when new.
    ///
    /// # Errors
    /// [`Error::Table`] if the text has not the key's form.
    pub fn intern(&mut self, dim: usize, text: &str) -> Result<u32> {
        if let Some(id) = self.dims[dim].ids.get(text) {
            return Ok(*id);
        }
        let dimension = &self.dims[dim];
        let Some(groups) = dimension.form.captures(text) else {
            return Err(Error::Table(format!("'{text}' is no {} ({})", dimension.name, self.form(dim))));
        };
        let follows: Vec<(usize, String)> = (dimension.follows.iter())
            .filter_map(|d| Some((*d, groups.name(&self.dims[*d].name)?.as_str().to_string())))
            .collect();
        let mut followers = Vec::new();
        for (follower, part) in follows {
            followers.push((follower, self.intern(follower, &part)?));
        }
        let dimension = &mut self.dims[dim];
        let id = dimension.texts.len() as u32;
        dimension.texts.push(text.to_string());
        dimension.followers.push(followers);
        dimension.ids.insert(text.to_string(), id);
        Ok(id)
    }

    /// The key with a value set, and those that follow from it.
    pub fn with(&self, key: Key, dim: usize, id: u32) -> Key {
        let mut key = key;
        key.0[dim] = id;
        for (follower, value) in &self.dims[dim].followers[id as usize] {
            key.0[*follower] = *value;
        }
        key
    }

    /// The text of a key's value; empty if it has none.
    pub fn text(&self, key: &Key, dim: usize) -> &str {
        key.get(dim).map_or("", |id| &self.dims[dim].texts[id as usize])
    }

    /// For each key the place of every value in the order of their texts.
    pub fn ranks(&self) -> Ranks {
        let rank = |dimension: &Dimension| {
            let mut ids: Vec<u32> = (0..dimension.texts.len() as u32).collect();
            ids.sort_by_key(|id| &dimension.texts[*id as usize]);
            let mut ranks = vec![0; ids.len()];
            ids.into_iter().zip(1..).for_each(|(id, rank)| ranks[id as usize] = rank);
            ranks
        };
        Ranks(self.dims.iter().map(rank).collect())
    }
}

/// Places of the values of a [`Space`] in the order of their texts, from 1.
#[derive(Debug)]
pub struct Ranks(Vec<Vec<u32>>);

impl Ranks {
    /// The place of a key's value; 0 if it has none.
    pub fn of(&self, key: &Key, dim: usize) -> u32 {
        key.get(dim).map_or(0, |id| self.0[dim][id as usize])
    }

    /// What sorts keys by their texts, one key after the other in the order given.
    pub fn sorting(&self, key: &Key, order: &[usize]) -> [u32; MAX_DIMS] {
        let mut places = [0; MAX_DIMS];
        places.iter_mut().zip(order).for_each(|(place, dim)| *place = self.of(key, *dim));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        let keys = [("band", "[brz]"), ("camera", "(?<band>[brz])(?<spectrograph>[0-9])"), ("spectrograph", "[0-9]")];
        Space::new(&keys.map(|(k, v)| (k.to_string(), v.to_string())).into()).unwrap()
    }

    #[test]
    fn a_camera_carries_its_band_and_spectrograph() {
        let mut space = space();
        let camera = space.dim("camera").unwrap();
        let id = space.intern(camera, "r7").unwrap();
        let key = space.with(Key::default(), camera, id);
        assert_eq!(space.text(&key, space.dim("band").unwrap()), "r");
        assert_eq!(space.text(&key, space.dim("spectrograph").unwrap()), "7");
        assert_eq!(space.closure(Dims::one(camera)), key.dims());
        assert_eq!(space.form(camera), "(?:[brz])(?:[0-9])");
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        let mut space = space();
        let camera = space.dim("camera").unwrap();
        assert!(space.intern(camera, "x0").is_err());
        assert!(space.intern(camera, "r77").is_err());
    }
}
