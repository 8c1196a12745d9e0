//! Moving a spectrum (a density per Angstrom) from one wavelength grid to another, conserving flux.

/// Edges of the bins centred on `x`: midpoints, the end bins symmetric. `x.len() + 1` values.
pub fn bin_edges(x: &[f64]) -> Vec<f64> {
    let n = x.len();
    match n {
        0 => vec![],
        1 => vec![x[0] - 0.5, x[0] + 0.5],
        _ => {
            let mut edges = Vec::with_capacity(n + 1);
            edges.push(1.5 * x[0] - 0.5 * x[1]);
            edges.extend(x.windows(2).map(|p| 0.5 * (p[0] + p[1])));
            edges.push(1.5 * x[n - 1] - 0.5 * x[n - 2]);
            edges
        }
    }
}

/// Integrals over `[edges[i], edges[i+1]]` of the piecewise-linear curve through `(x, y)`, which is zero
/// outside `[x[0], x[n-1]]`. `edges` and `x` ascend.
pub fn integrate_linear(edges: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; edges.len().saturating_sub(1)];
    if x.len() < 2 {
        return out;
    }
    let mut segment = x.partition_point(|v| *v <= edges[0]).saturating_sub(1);
    for (o, e) in out.iter_mut().zip(edges.windows(2)) {
        let (mut lo, hi) = (e[0].max(x[0]), e[1].min(x[x.len() - 1]));
        while segment + 2 < x.len() && x[segment + 1] <= lo {
            segment += 1;
        }
        while lo < hi {
            let (x0, x1) = (x[segment], x[segment + 1]);
            let end = hi.min(x1);
            let slope = (y[segment + 1] - y[segment]) / (x1 - x0);
            *o += (end - lo) * (y[segment] + slope * (0.5 * (lo + end) - x0));
            lo = end;
            if end >= x1 && segment + 2 < x.len() {
                segment += 1;
            } else if end >= x1 {
                break;
            }
        }
    }
    out
}

/// Mean density in each bin of `xout` of the density `y` at `x`, taken as piecewise linear; zero outside.
pub fn rebin(xout: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
    let edges = bin_edges(xout);
    let mut out = integrate_linear(&edges, x, y);
    out.iter_mut().zip(edges.windows(2)).for_each(|(o, e)| *o /= e[1] - e[0]);
    out
}

/// [`rebin`] of data with gaps at the ends: the input is extended by half a bin with a linear drop to zero,
/// so that a bin that is half covered gets half of the flux (desispec's `resample_flux`).
pub fn resample_flux(xout: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
    let n = x.len();
    if n < 2 {
        return vec![0.0; xout.len()];
    }
    let (mut xe, mut ye) = (Vec::with_capacity(n + 2), Vec::with_capacity(n + 2));
    xe.push(x[0] - 0.5 * (x[1] - x[0]));
    ye.push(0.0);
    xe.extend_from_slice(x);
    ye.extend_from_slice(y);
    xe.push(x[n - 1] + 0.5 * (x[n - 1] - x[n - 2]));
    ye.push(0.0);
    rebin(xout, &xe, &ye)
}

/// Resamples flux and inverse variance: the flux is the `ivar`-weighted mean, the inverse variance scales
/// with the bin width (information is conserved).
pub fn resample_flux_ivar(xout: &[f64], x: &[f64], y: &[f64], ivar: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let weighted: Vec<f64> = y.iter().zip(ivar).map(|(a, b)| a * b).collect();
    let a = resample_flux(xout, x, &weighted);
    let b = resample_flux(xout, x, ivar);
    let flux = a.iter().zip(&b).map(|(a, b)| if *b > 0.0 { a / b } else { 0.0 }).collect();
    let per_width: Vec<f64> = ivar.iter().zip(widths(x)).map(|(w, d)| w / d).collect();
    let ivar_out = resample_flux(xout, x, &per_width).iter().zip(widths(xout)).map(|(w, d)| (w * d).max(0.0)).collect();
    (flux, ivar_out)
}

fn widths(x: &[f64]) -> Vec<f64> {
    bin_edges(x).windows(2).map(|e| e[1] - e[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_kept() {
        let x: Vec<f64> = (0..100).map(|i| 1000.0 + 1.1 * f64::from(i)).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 + 0.01 * x).collect();
        let xout: Vec<f64> = (0..40).map(|i| 1010.0 + 2.3 * f64::from(i)).collect();
        for (o, v) in xout.iter().zip(rebin(&xout, &x, &y)) {
            assert!((v - (3.0 + 0.01 * o)).abs() < 1e-12);
        }
    }

    #[test]
    fn flux_is_conserved_and_zero_outside() {
        let x: Vec<f64> = (0..50).map(|i| 10.0 + f64::from(i)).collect();
        let y: Vec<f64> = x.iter().map(|x| (-0.5 * ((x - 33.0) / 4.0f64).powi(2)).exp()).collect();
        let xout: Vec<f64> = (0..90).map(|i| 0.7 * f64::from(i)).collect();
        let out = rebin(&xout, &x, &y);
        let total: f64 = out.iter().sum::<f64>() * 0.7;
        let trapezoid: f64 = y.windows(2).map(|p| 0.5 * (p[0] + p[1])).sum();
        assert!((total - trapezoid).abs() < 1e-10);
        assert_eq!(out[0], 0.0);
    }

    #[test]
    fn inverse_variance_scales_with_the_width() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        let xout: Vec<f64> = (1..48).map(|i| 2.0 * f64::from(i)).collect();
        let (f, w) = resample_flux_ivar(&xout, &x, &[5.0; 100], &[2.0; 100]);
        assert!(f.iter().all(|v| (v - 5.0).abs() < 1e-12));
        assert!(w.iter().all(|v| (v - 4.0).abs() < 1e-12));
    }
}
