//! Linear interpolation on a sorted grid.

/// `y(x)` interpolated linearly at `at`; outside the grid the end values.
pub fn linear(at: f64, x: &[f64], y: &[f64]) -> f64 {
    match (x.first(), x.last()) {
        (None, _) | (_, None) => 0.0,
        (Some(&a), _) if at <= a => y[0],
        (_, Some(&b)) if at >= b => y[y.len() - 1],
        _ => {
            let i = x.partition_point(|v| *v <= at).clamp(1, x.len() - 1);
            let f = (at - x[i - 1]) / (x[i] - x[i - 1]);
            y[i - 1] + f * (y[i] - y[i - 1])
        }
    }
}

/// [`linear`] at many points, fast where they ascend.
pub fn linear_grid(at: &[f64], x: &[f64], y: &[f64]) -> Vec<f64> {
    let [first, .., last] = x else { return at.iter().map(|&a| linear(a, x, y)).collect() };
    // the first of `x` behind the point
    let mut next = 1;
    at.iter()
        .map(|&a| {
            if a <= *first || a >= *last || a.is_nan() {
                return linear(a, x, y);
            }
            if a < x[next - 1] {
                next = x.partition_point(|v| *v <= a);
            }
            while x[next] <= a {
                next += 1;
            }
            let part = (a - x[next - 1]) / (x[next] - x[next - 1]);
            y[next - 1] + part * (y[next] - y[next - 1])
        })
        .collect()
}

/// Replaces the values where `good` is false by interpolation between good neighbours in index; ends are
/// filled with the nearest good value. With nothing good the values stay.
pub fn fill(y: &mut [f64], good: &[bool]) {
    let x: Vec<f64> = (0..y.len()).filter(|&i| good[i]).map(|i| i as f64).collect();
    let v: Vec<f64> = (0..y.len()).filter(|&i| good[i]).map(|i| y[i]).collect();
    if x.is_empty() {
        return;
    }
    for i in (0..y.len()).filter(|&i| !good[i]) {
        y[i] = linear(i as f64, &x, &v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_inside_and_holds_outside() {
        let (x, y) = ([1.0, 2.0, 4.0], [10.0, 20.0, 0.0]);
        assert_eq!(linear_grid(&[0.0, 1.5, 2.0, 3.0, 9.0], &x, &y), [10.0, 15.0, 20.0, 10.0, 0.0]);
        // in any order
        assert_eq!(linear_grid(&[3.0, 1.5, 9.0, 2.0, 0.0], &x, &y), [10.0, 15.0, 0.0, 20.0, 10.0]);
        assert_eq!(linear_grid(&[0.0, 5.0], &x[..1], &y[..1]), [10.0, 10.0]);
    }

    #[test]
    fn fill_bridges_gaps() {
        let mut y = [9.0, 1.0, 9.0, 3.0, 9.0];
        fill(&mut y, &[false, true, false, true, false]);
        assert_eq!(y, [1.0, 1.0, 2.0, 3.0, 3.0]);
    }
}
