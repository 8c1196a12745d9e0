//! Image sections `[x1:x2,y1:y2]` of raw headers: counted from 1, ends included.

use ndarray::{ArrayView2, s};
use std::str::FromStr;

/// A rectangle, half open and counted from 0: `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// First column.
    pub x0: usize,
    /// Column after the last.
    pub x1: usize,
    /// First row.
    pub y0: usize,
    /// Row after the last.
    pub y1: usize,
}

impl FromStr for Section {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let inner = text.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(())?;
        let (x, y) = inner.split_once(',').ok_or(())?;
        let range = |t: &str| -> Result<(usize, usize), ()> {
            let (first, last) = t.split_once(':').ok_or(())?;
            let (first, last): (usize, usize) =
                (first.trim().parse().map_err(|_| ())?, last.trim().parse().map_err(|_| ())?);
            if first >= 1 && first <= last { Ok((first - 1, last)) } else { Err(()) }
        };
        let ((x0, x1), (y0, y1)) = (range(x)?, range(y)?);
        Ok(Self { x0, x1, y0, y1 })
    }
}

impl Section {
    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.y1 - self.y0, self.x1 - self.x0)
    }

    /// Whether it lies in an image of `(ny, nx)`.
    pub fn fits(&self, (ny, nx): (usize, usize)) -> bool {
        self.x1 <= nx && self.y1 <= ny
    }

    /// Its pixels.
    pub fn of<'a, T>(&self, image: &'a ndarray::Array2<T>) -> ArrayView2<'a, T> {
        image.slice(s![self.y0..self.y1, self.x0..self.x1])
    }

    /// Its pixels, to be changed.
    pub fn of_mut<'a, T>(&self, image: &'a mut ndarray::Array2<T>) -> ndarray::ArrayViewMut2<'a, T> {
        image.slice_mut(s![self.y0..self.y1, self.x0..self.x1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_parse_with_and_without_blanks() {
        let expected = Section { x0: 7, x1: 2064, y0: 1, y1: 2065 };
        assert_eq!("[8:2064, 2:2065]".parse(), Ok(expected));
        assert_eq!(" [8:2064,2:2065] ".parse(), Ok(expected));
        assert_eq!(expected.shape(), (2064, 2057));
        for bad in ["8:2064,2:2065", "[0:5,1:2]", "[5:4,1:2]", "[a:b,1:2]", ""] {
            assert_eq!(bad.parse::<Section>(), Err(()));
        }
    }
}
