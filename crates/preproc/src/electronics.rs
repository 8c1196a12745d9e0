//! What the read-out chain adds to an image: cross-talk between amplifiers, and trails behind bright pixels.

use crate::amplifier::Amplifier;
use ndarray::{Array2, ArrayBase, Axis, Ix2, RawData, s};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Measured effects of a camera's read-out electronics, by the suffixes of its amplifiers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Electronics {
    /// `AB`: share of A's signal that appears in B.
    #[serde(default)]
    pub crosstalk: BTreeMap<String, f32>,
    /// `A`: the trail behind the bright pixels of A.
    #[serde(default)]
    pub dark_trail: BTreeMap<String, Trail>,
}

/// The pixel read `k` pixels after one of `v` electrons comes out `v amplitude exp(-k / width)` too low.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trail {
    /// Share of the charge.
    pub amplitude: f32,
    /// Pixels.
    pub width: f32,
}

impl Electronics {
    /// Reads the TOML form: `[crosstalk]` with `AB = 1e-4`, `[dark_trail.A]` with `amplitude` and `width`.
    ///
    /// # Errors
    /// What is wrong with the text: not TOML, an unknown key, a number that cannot be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let electronics: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        let share_is_one = |share: &f32| share.abs() < 1.0;
        if let Some((pair, share)) = electronics.crosstalk.iter().find(|(_, share)| !share_is_one(share)) {
            return Err(format!("crosstalk {pair}: expected a share between -1 and 1, found {share}"));
        }
        let wrong = |t: &Trail| !(t.amplitude.abs() < 1.0 && t.width > 0.0 && t.width.is_finite());
        match electronics.dark_trail.iter().find(|(_, trail)| wrong(trail)) {
            None => Ok(electronics),
            Some((suffix, trail)) => {
                Err(format!("dark_trail {suffix}: expected |amplitude| < 1 and width > 0 pixels, found {trail:?}"))
            }
        }
    }
}

/// Subtracts from each amplifier what it picks up of another that is read at the same time.
pub fn subtract_crosstalk(pix: &mut Array2<f32>, amplifiers: &[Amplifier], electronics: &Electronics) {
    if electronics.crosstalk.is_empty() {
        return;
    }
    let seen = pix.clone();
    for (source, target) in amplifiers.iter().flat_map(|s| amplifiers.iter().map(move |t| (s, t))) {
        let pair = format!("{}{}", source.suffix, target.suffix);
        let Some(share) = electronics.crosstalk.get(&pair) else { continue };
        let (mut from, mut to) = (source.ccd.of(&seen), target.ccd.of_mut(pix));
        in_order_of_reading(source, &mut from);
        in_order_of_reading(target, &mut to);
        let both = s![..from.nrows().min(to.nrows()), ..from.ncols().min(to.ncols())];
        to.slice_mut(both).scaled_add(-share, &from.slice(both));
    }
}

/// Turns the pixels of an amplifier so that the first is the one in its corner.
fn in_order_of_reading<S: RawData>(amplifier: &Amplifier, pixels: &mut ArrayBase<S, Ix2>) {
    let (right, upper) = amplifier.corner();
    if upper {
        pixels.invert_axis(Axis(0));
    }
    if right {
        pixels.invert_axis(Axis(1));
    }
}

/// Gives back what the trails of brighter pixels took.
pub fn fill_trails(pix: &mut Array2<f32>, amplifiers: &[Amplifier], electronics: &Electronics) {
    for amplifier in amplifiers {
        let Some(trail) = electronics.dark_trail.get(&amplifier.suffix.to_string()) else { continue };
        let decay = (-1.0 / trail.width).exp();
        let mut pixels = amplifier.ccd.of_mut(pix);
        in_order_of_reading(amplifier, &mut pixels);
        for mut row in pixels.rows_mut() {
            let mut before = 0.0;
            for value in &mut row {
                *value += trail.amplitude * before;
                before = decay * (before + *value);
            }
        }
    }
}
