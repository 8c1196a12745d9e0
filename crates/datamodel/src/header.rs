//! A FITS header as an ordered list of typed cards; structural keywords (SIMPLE, NAXIS, TFORM, CHECKSUM ...)
//! are not part of it.

use crate::{Camera, Error, Result};
use std::path::Path;

/// The value of a card.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string of any length (long ones are written with CONTINUE).
    Str(String),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A logical.
    Bool(bool),
}

/// A keyword, its value and comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Upper-case keyword of at most 8 characters.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Its comment, units in square brackets first; may be empty.
    pub comment: String,
}

/// Cards in their order; a keyword occurs once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    cards: Vec<Card>,
}

macro_rules! from_value {
    ($($t:ty => $v:ident $(as $c:ty)?),*) => {$(
        impl From<$t> for Value {
            fn from(x: $t) -> Self { Value::$v(x $(as $c)?) }
        }
    )*};
}
from_value!(String => Str, i64 => Int, i32 => Int as i64, u32 => Int as i64, u8 => Int as i64, usize => Int as i64, f64 => Float, f32 => Float as f64, bool => Bool);
impl From<&str> for Value {
    fn from(x: &str) -> Self {
        Value::Str(x.to_string())
    }
}

impl Header {
    /// An empty header.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cards in order.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// Sets a keyword: replaces the card that has it, or appends one.
    pub fn set(&mut self, key: &str, value: impl Into<Value>, comment: &str) -> &mut Self {
        let card = Card { key: key.to_string(), value: value.into(), comment: comment.to_string() };
        match self.cards.iter_mut().find(|c| c.key == key) {
            Some(old) => *old = card,
            None => self.cards.push(card),
        }
        self
    }

    /// Removes a keyword if it is there.
    pub fn remove(&mut self, key: &str) {
        self.cards.retain(|c| c.key != key);
    }

    /// Keeps the cards that satisfy a condition.
    pub fn retain(&mut self, keep: impl Fn(&Card) -> bool) {
        self.cards.retain(keep);
    }

    /// Adds the cards of `other` whose keywords are absent here.
    pub fn extend_missing(&mut self, other: &Header) {
        for card in &other.cards {
            if self.get(&card.key).is_none() {
                self.cards.push(card.clone());
            }
        }
    }

    /// The value of a keyword.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.cards.iter().find(|c| c.key == key).map(|c| &c.value)
    }

    /// A string keyword, trailing blanks stripped.
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Str(s) => Some(s.trim_end()),
            _ => None,
        }
    }

    /// An integer keyword; a string of digits counts (NIGHT is written either way).
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::Int(i) => Some(*i),
            Value::Float(x) if x.fract() == 0.0 => Some(*x as i64),
            Value::Str(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Int(i) => Some(*i as f64),
            Value::Float(x) => Some(*x),
            Value::Str(s) => s.trim().parse().ok(),
            Value::Bool(_) => None,
        }
    }

    /// The camera of keyword CAMERA (specex writes a second pair of quotes into the string: `'r0      '`).
    pub fn camera(&self) -> Option<Camera> {
        self.str("CAMERA")?.trim_matches(['\'', ' ']).to_lowercase().parse().ok()
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming `path`, `hdu` and the keyword.
    pub fn require_float(&self, path: &Path, hdu: &str, key: &str) -> Result<f64> {
        self.float(key).filter(|x| x.is_finite()).ok_or_else(|| self.invalid(path, hdu, key, "a number"))
    }

    /// An integer that must be there; errors as [`Header::require_float`].
    pub fn require_int(&self, path: &Path, hdu: &str, key: &str) -> Result<i64> {
        self.int(key).ok_or_else(|| self.invalid(path, hdu, key, "an integer"))
    }

    /// A string that must be there; errors as [`Header::require_float`].
    pub fn require_str(&self, path: &Path, hdu: &str, key: &str) -> Result<&str> {
        self.str(key).ok_or_else(|| self.invalid(path, hdu, key, "a string"))
    }

    fn invalid(&self, path: &Path, hdu: &str, key: &str, expected: &str) -> Error {
        Error::Invalid {
            path: path.to_path_buf(),
            hdu: hdu.to_string(),
            item: format!("keyword {key}"),
            expected: expected.to_string(),
            found: self.get(key).map_or("nothing".to_string(), |v| format!("{v:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_occurs_once_and_converts() {
        let mut h = Header::new();
        h.set("NIGHT", "20260101", "").set("EXPTIME", 900, "[s]").set("NIGHT", "20260102", "");
        assert_eq!(h.cards().len(), 2);
        assert_eq!(h.int("NIGHT"), Some(20260102));
        assert_eq!(h.float("EXPTIME"), Some(900.0));
        let error = h.require_float(Path::new("a.fits"), "FLUX", "GAINA").unwrap_err();
        assert_eq!(error.to_string(), "a.fits[FLUX]: keyword GAINA: expected a number, found nothing");
    }
}
