//! Cross-correlations of real sequences from their spectra, two at once, at every `m`-th shift only: a correlation sampled
//! so is the inverse transform, `m` times shorter, of the folded spectrum.

use rustfft::num_complex::Complex;

/// The first half of the spectrum of a real sequence; the other half is its conjugate, backwards.
#[derive(Debug)]
pub struct Half {
    re: Vec<f64>,
    im: Vec<f64>,
}

impl Half {
    /// Of two sequences `x` and `y`, from the spectrum of `x + i y`.
    pub fn of_two(spectrum: &[Complex<f64>]) -> [Self; 2] {
        let (length, count) = (spectrum.len(), spectrum.len() / 2 + 1);
        let [mut x, mut y] = [Self::zeros(count), Self::zeros(count)];
        for f in 0..count {
            let (a, b) = (spectrum[f], spectrum[if f == 0 { 0 } else { length - f }]);
            (x.re[f], x.im[f]) = (0.5 * (a.re + b.re), 0.5 * (a.im - b.im));
            (y.re[f], y.im[f]) = (0.5 * (a.im + b.im), 0.5 * (b.re - a.re));
        }
        [x, y]
    }

    fn zeros(length: usize) -> Self {
        Self { re: vec![0.0; length], im: vec![0.0; length] }
    }
}

/// The spectra of the data and of a vector.
type Pair<'a> = (&'a Half, &'a Half);

/// The folded spectrum of `x + i y`, for two correlations `x` and `y`: what their first halves give, and what the others
/// give, backwards.
#[derive(Debug)]
pub struct Folded {
    first: Half,
    other: Half,
}

impl Folded {
    /// Zeros.
    pub fn new(length: usize) -> Self {
        Self { first: Half::zeros(length), other: Half::zeros(length) }
    }

    /// Zeros again.
    pub fn clear(&mut self) {
        for part in [&mut self.first, &mut self.other] {
            part.re.fill(0.0);
            part.im.fill(0.0);
        }
    }

    /// Adds the correlations `x` and, if there is a second one, `y`.
    pub fn add(&mut self, x: Pair, y: Option<Pair>) {
        match y {
            Some(y) => add_two(self, x, y),
            None => add_one(self, x),
        }
    }

    /// Writes the spectrum.
    pub fn write(&self, out: &mut [Complex<f64>]) {
        let n = out.len();
        for (k, out) in out.iter_mut().enumerate() {
            let mirror = if k == 0 { 0 } else { n - k };
            *out = Complex::new(self.first.re[k] + self.other.re[mirror], self.first.im[k] + self.other.im[mirror]);
        }
    }
}

numerics::dispatch! {
    fn add_two(folded: &mut Folded, x: Pair, y: Pair) -> () = add_both | add_both
}

numerics::dispatch! {
    fn add_one(folded: &mut Folded, x: Pair) -> () = add_single | add_single
}

#[inline(always)]
fn add_both(folded: &mut Folded, x: Pair, y: Pair) {
    add_parts(folded, x, |f| correlation(y, f));
}

#[inline(always)]
fn add_single(folded: &mut Folded, x: Pair) {
    add_parts(folded, x, |_| [0.0; 2]);
}

/// Adds what `x` and `y` give at each frequency. Of the first and the last one there is one only.
#[inline(always)]
fn add_parts(folded: &mut Folded, x: Pair, y: impl Fn(usize) -> [f64; 2]) {
    let (length, last) = (folded.first.re.len(), x.0.re.len() - 1);
    for f in [0, last] {
        let ([xr, xi], [yr, yi]) = (correlation(x, f), y(f));
        folded.first.re[f % length] += xr - yi;
        folded.first.im[f % length] += xi + yr;
    }
    for start in (0..last).step_by(length) {
        let (from, to) = (start.max(1), last.min(start + length));
        let places = from - start..to - start;
        let (re, im) = (&mut folded.first.re[places.clone()], &mut folded.first.im[places.clone()]);
        let (other_re, other_im) = (&mut folded.other.re[places.clone()], &mut folded.other.im[places]);
        for k in 0..to - from {
            let ([xr, xi], [yr, yi]) = (correlation(x, from + k), y(from + k));
            re[k] += xr - yi;
            im[k] += xi + yr;
            other_re[k] += xr + yi;
            other_im[k] += yr - xi;
        }
    }
}

/// `conj(d) v` at a frequency.
#[inline(always)]
fn correlation((d, v): Pair, f: usize) -> [f64; 2] {
    [d.re[f] * v.re[f] + d.im[f] * v.im[f], d.re[f] * v.im[f] - d.im[f] * v.re[f]]
}
