//! The wavelength grid, and how fibres are cut into bundles and sub-bundles.

use std::{ops::Range, str::FromStr};

/// Wavelengths `first + step k`, vacuum Angstrom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// First wavelength, Angstrom.
    pub first: f64,
    /// Width of a bin, Angstrom.
    pub step: f64,
    /// Number of bins.
    pub n: usize,
}

impl Grid {
    /// The grid from `first` to `last` with bins of `step` Angstrom; `last` is included if it lies on the grid.
    pub fn new(first: f64, last: f64, step: f64) -> Option<Self> {
        let sane = first > 0.0 && step > 0.0 && last >= first && last.is_finite();
        sane.then(|| Self { first, step, n: ((last + 0.5 * step - first) / step).ceil() as usize })
    }

    /// The wavelengths at the telescope of a grid of barycentric ones, which are `factor` times longer.
    pub fn at_telescope(self, factor: f64) -> Self {
        Self { first: self.first / factor, step: self.step / factor, ..self }
    }

    /// The same with `pad` more bins at both ends.
    pub fn padded(self, pad: usize) -> Self {
        Self { first: self.first - pad as f64 * self.step, n: self.n + 2 * pad, ..self }
    }

    /// Wavelength of bin `i`, Angstrom.
    pub fn wave(&self, i: usize) -> f64 {
        self.first + i as f64 * self.step
    }

    /// All wavelengths, Angstrom.
    pub fn waves(&self) -> Vec<f64> {
        (0..self.n).map(|i| self.wave(i)).collect()
    }
}

impl FromStr for Grid {
    type Err = String;

    /// `WMIN,WMAX,DW` in Angstrom.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|t| t.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[first, last, step]) => Self::new(first, last, step),
            _ => None,
        }
        .ok_or_else(|| format!("'{text}' is not WMIN,WMAX,DW in Angstrom with WMIN <= WMAX and DW > 0"))
    }
}

/// Fibres that are solved together: `core` is kept, `extended` also holds one neighbour at each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubBundle {
    /// Fibres whose spectra are kept.
    pub core: Range<usize>,
    /// Fibres of the linear system.
    pub extended: Range<usize>,
}

/// Cuts a bundle into `n` sub-bundles (fewer if there are fewer fibres), each extended by one fibre inside
/// the bundle. Sizes differ by one at most; the larger ones are at the edges, which have one neighbour less.
pub fn sub_bundles(bundle: Range<usize>, n: usize) -> Vec<SubBundle> {
    let n = n.clamp(1, bundle.len().max(1));
    let (size, extra) = (bundle.len() / n, bundle.len() % n);
    let (low, high) = (extra.div_ceil(2), extra / 2);
    let mut start = bundle.start;
    (0..n)
        .map(|k| {
            let core = start..start + size + usize::from(k < low || k >= n - high);
            start = core.end;
            let extended = core.start.saturating_sub(1).max(bundle.start)..(core.end + 1).min(bundle.end);
            SubBundle { core, extended }
        })
        .collect()
}

/// The whole bundles of `size` fibres, of a camera of `nfiber`, that hold any of `fibers`.
pub fn bundles(fibers: &Range<usize>, nfiber: usize, size: usize) -> Vec<Range<usize>> {
    if fibers.is_empty() {
        return vec![];
    }
    (fibers.start / size..=(fibers.end - 1) / size).map(|b| b * size..((b + 1) * size).min(nfiber)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_desis_number_of_bins() {
        for (text, n) in
            [("3600,5800,0.8", 2751), ("5760,7620,0.8", 2326), ("7520,9824,0.8", 2881), ("7445,9824,0.8", 2975)]
        {
            assert_eq!(text.parse::<Grid>().unwrap().n, n, "{text}");
        }
        assert_eq!("5760.0,5760.0,0.8".parse::<Grid>().unwrap().n, 1);
        assert!("5760,7620".parse::<Grid>().is_err());
        assert!("5760,5000,0.8".parse::<Grid>().is_err());
        assert!("5760,7620,nan".parse::<Grid>().is_err());
    }

    #[test]
    fn sub_bundles_cover_the_bundle_once_and_overlap_by_one() {
        let five = sub_bundles(25..50, 5);
        assert_eq!(five[0], SubBundle { core: 25..30, extended: 25..31 });
        assert_eq!(five[2], SubBundle { core: 35..40, extended: 34..41 });
        let sizes = |n| sub_bundles(0..25, n).iter().map(|s| s.core.len()).collect::<Vec<_>>();
        assert_eq!(sizes(4), [7, 6, 6, 6]);
        assert_eq!(sizes(3), [9, 8, 8]);
        assert_eq!(sizes(7), [4, 4, 3, 3, 3, 4, 4]);
        assert_eq!(sub_bundles(0..3, 5).len(), 3);
        assert_eq!(sub_bundles(0..25, 1)[0].extended, 0..25);
    }

    #[test]
    fn bundles_are_whole() {
        assert_eq!(bundles(&(30..51), 500, 25), [25..50, 50..75]);
        assert_eq!(bundles(&(0..50), 40, 25), [0..25, 25..40]);
    }
}
