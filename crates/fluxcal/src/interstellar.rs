//! Interstellar lines in front of the standard stars: their models have none, the calibration is bridged there.

/// Ca II K and H, Na I D in vacuum Angstrom (Morton 2003, ApJS 149, 205).
const LINES: [f64; 4] = [3934.77, 3969.59, 5891.58, 5897.56];
/// Half width in Angstrom that is bridged, and width of the banks that a bridge rests on.
const HALF_WIDTH: f64 = 6.0;
const BANK: f64 = 6.0;

/// A straight line over some bins from the mean of the bins on one side to that on the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridge {
    bins: std::ops::Range<usize>,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// The bridges of a grid; lines that lie close share one. Those without a good bank on either side are left out.
pub fn bridges(wave: &[f64], good: &[bool]) -> Vec<Bridge> {
    let at = |w: f64| wave.partition_point(|x| *x < w);
    let mut ranges: Vec<(f64, f64)> = vec![];
    for line in LINES {
        match ranges.last_mut() {
            Some(last) if last.1 > line - HALF_WIDTH => last.1 = line + HALF_WIDTH,
            _ => ranges.push((line - HALF_WIDTH, line + HALF_WIDTH)),
        }
    }
    let bridge = |(a, b): (f64, f64)| Bridge {
        bins: at(a)..at(b),
        left: (at(a - BANK)..at(a)).filter(|&j| good[j]).collect(),
        right: (at(b)..at(b + BANK)).filter(|&j| good[j]).collect(),
    };
    ranges.into_iter().map(bridge).filter(|b| !b.bins.is_empty() && !b.left.is_empty() && !b.right.is_empty()).collect()
}

impl Bridge {
    /// Replaces the bins of `row`.
    pub fn span(&self, row: &mut [f64]) {
        let mean = |bins: &[usize], value: &dyn Fn(usize) -> f64| {
            bins.iter().map(|&j| value(j)).sum::<f64>() / bins.len() as f64
        };
        let (x0, x1) = (mean(&self.left, &|j| j as f64), mean(&self.right, &|j| j as f64));
        let (y0, y1) = (mean(&self.left, &|j| row[j]), mean(&self.right, &|j| row[j]));
        for j in self.bins.clone() {
            row[j] = y0 + (y1 - y0) * (j as f64 - x0) / (x1 - x0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bridged_and_a_straight_row_stays() {
        let wave: Vec<f64> = (0..300).map(|i| 3880.0 + 0.8 * f64::from(i)).collect();
        let straight: Vec<f64> = wave.iter().map(|w| 3.0 + 0.01 * (w - 3900.0)).collect();
        let mut row = straight.clone();
        let bridges = bridges(&wave, &[true; 300]);
        assert_eq!(bridges.len(), 2);
        wave.iter().zip(row.iter_mut()).for_each(|(w, r)| {
            if (w - 3934.77).abs() < 3.0 {
                *r *= 0.5
            }
        });
        bridges.iter().for_each(|b| b.span(&mut row));
        assert!(row.iter().zip(&straight).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn at_the_end_of_the_range_there_is_no_bridge() {
        let wave: Vec<f64> = (0..100).map(|i| 3932.0 + 0.3 * f64::from(i)).collect();
        assert!(bridges(&wave, &[true; 100]).is_empty());
    }
}
