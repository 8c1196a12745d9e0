//! Blocked kernels of the banded Cholesky factor and of the selected inverse: eight columns at a time, so that
//! nearly all the work is the product of some rows with a packed panel of eight columns.

mod factor;
mod inverse;

pub(crate) use inverse::Classes;

use crate::{NumericsError, SymmetricBand, dispatch};
use std::ops::Range;

/// Columns of a panel.
const B: usize = 8;

type Row = [f64; B];

// eight rows at once fill the registers of AVX-512, four those of AVX2
dispatch!(pub(crate) fn factor(a: &mut SymmetricBand) -> Result<(), NumericsError> = factor::replace::<8> | factor::replace::<4>);
dispatch!(pub(crate) fn add_inverse(l: &SymmetricBand, scale: f64, z: &mut SymmetricBand) -> () = inverse::add::<8> | inverse::add::<4>);
dispatch!(
    pub(crate) fn write_classes(l: &SymmetricBand, classes: &mut Classes) -> () =
        inverse::write_classes::<8> | inverse::write_classes::<4>
);

/// Adds `x row`.
#[inline(always)]
fn add_product(sums: &mut Row, x: f64, row: &Row) {
    for b in 0..B {
        sums[b] = x.mul_add(row[b], sums[b]);
    }
}

/// Adds `Σ_p row[p] panel[p]`.
#[inline(always)]
fn multiply_one(row: &[f64], panel: &[Row], sums: &mut Row) {
    for (x, panel) in row.iter().zip(panel) {
        add_product(sums, *x, panel);
    }
}

/// Adds `Σ_p rows[r][p] panel[p]` for some rows.
#[inline(always)]
fn multiply<const R: usize>(rows: [&[f64]; R], panel: &[Row], sums: &mut [Row; R]) {
    assert!(rows.iter().all(|r| r.len() >= panel.len()));
    let mut totals = *sums;
    for (p, panel) in panel.iter().enumerate() {
        for r in 0..R {
            // SAFETY: every row is at least as long as the panel; a check here costs as much as the product
            let x = unsafe { *rows[r].get_unchecked(p) };
            add_product(&mut totals[r], x, panel);
        }
    }
    *sums = totals;
}

/// The entries of row `i` in those of `columns` that it has.
#[inline(always)]
fn part(a: &SymmetricBand, i: usize, columns: Range<usize>) -> &[f64] {
    let at = |p: usize| (p + a.half_bandwidth()).saturating_sub(i);
    &a.row(i)[at(columns.start)..at(columns.end)]
}

/// The inverse of a lower triangle.
#[inline(always)]
fn inverse_of(triangle: &[Row; B]) -> [Row; B] {
    let mut inverse = [[0.0; B]; B];
    for i in 0..B {
        let mut row = [0.0; B];
        row[i] = 1.0;
        for c in 0..i {
            add_product(&mut row, -triangle[i][c], &inverse[c]);
        }
        inverse[i] = row.map(|v| v / triangle[i][i]);
    }
    inverse
}

/// The unit matrix.
fn identity() -> [Row; B] {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for (n, kd) in [(1, 0), (7, 2), (50, 9), (131, 60)] {
            let mut a = SymmetricBand::zeros(n, kd);
            for i in 0..n {
                for j in i.saturating_sub(kd)..=i {
                    a.add(i, j, if i == j { 3.0 + kd as f64 } else { ((i * 31 + j * 17) as f64).sin() });
                }
            }
            let (mut plain, mut chosen) = (a.clone(), a);
            factor::replace::<4>(&mut plain).unwrap();
            factor(&mut chosen).unwrap();
            assert_eq!(plain, chosen);
            let (mut z, mut chosen_z) = (SymmetricBand::zeros(n, kd + 5), SymmetricBand::zeros(n, kd + 5));
            inverse::add::<4>(&plain, 0.7, &mut z);
            add_inverse(&chosen, 0.7, &mut chosen_z);
            assert_eq!(z, chosen_z);
        }
    }
}
