//! The types that entries of a resolution matrix have, and the products compiled for each of them.

use super::products::{self, Normal};
use super::{Diagonals, View};
use crate::dispatch;

/// Entry of a resolution matrix: `f32` in files, `f64` in memory.
pub trait Entry: products::Number {
    #[doc(hidden)]
    fn apply(r: &View<Self>, s: &[f64], out: &mut [f64]);
    #[doc(hidden)]
    fn accumulate(r: &View<Self>, w: &[f64], y: &[f64], sums: &mut Normal);
    #[doc(hidden)]
    fn propagate(r: &View<Self>, covariance: &Diagonals, out: &mut [f64]);
}

macro_rules! entry {
    ($type:ty) => {
        impl Entry for $type {
            fn apply(r: &View<Self>, s: &[f64], out: &mut [f64]) {
                dispatch!(fn compiled(r: &View<$type>, s: &[f64], out: &mut [f64]) -> () = products::apply | products::apply);
                compiled(r, s, out);
            }

            fn accumulate(r: &View<Self>, w: &[f64], y: &[f64], sums: &mut Normal) {
                dispatch!(
                    fn compiled(r: &View<$type>, w: &[f64], y: &[f64], sums: &mut Normal) -> ()
                        = products::normal | products::normal
                );
                compiled(r, w, y, sums);
            }

            fn propagate(r: &View<Self>, covariance: &Diagonals, out: &mut [f64]) {
                dispatch!(
                    fn compiled(r: &View<$type>, covariance: &Diagonals, out: &mut [f64]) -> ()
                        = products::propagate | products::propagate
                );
                compiled(r, covariance, out);
            }
        }
    };
}
entry!(f32);
entry!(f64);
