//! The raw form: ADU as four amplifiers read them, with prescans, overscans and bias.

use crate::{
    detector::{Charge, Detector, SATURATION_ADU},
    instrument::Arm,
};
use datamodel::{Camera, Header, raw::RawImage};
use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Rows that share a stream of random numbers.
const BLOCK: usize = 64;
/// Rows read before the first one of light.
const PRE_ROWS: usize = 1;
/// Suffixes of the amplifiers' keywords: lower left, lower right, upper left, upper right.
const SUFFIXES: [char; 4] = ['A', 'B', 'C', 'D'];

/// A rectangle, half open: `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Section {
    x0: usize,
    x1: usize,
    y0: usize,
    y1: usize,
}

/// Where an amplifier's pixels are in the raw image and on the CCD.
struct Layout {
    data: Section,
    bias: Section,
    pre: Section,
    over_rows: Section,
    ccd: Section,
}

/// The raw frame of an exposure.
pub fn read_out(detector: &Detector, charge: &Charge, expid: u32, camera: Camera) -> RawImage {
    let arm = &detector.arm;
    let layouts: Vec<Layout> = (0..4).map(|amp| layout(arm, amp)).collect();
    let (ny, nx) = size(arm);
    let mut adu = Array2::<i32>::zeros((ny, nx));
    let blocks: Vec<_> = adu.axis_chunks_iter_mut(ndarray::Axis(0), BLOCK).enumerate().collect();
    blocks.into_par_iter().for_each(|(block, mut rows)| {
        let mut rng = detector.rng("raw noise", expid, block);
        for ((row, x), value) in rows.indexed_iter_mut() {
            let y = block * BLOCK + row;
            let amp = 2 * usize::from(y >= ny / 2) + usize::from(x >= nx / 2);
            let (Layout { data, ccd, .. }, amplifier) = (&layouts[amp], detector.amplifiers[amp]);
            let electrons = if data.contains(y, x) {
                f64::from(charge.electrons[[y - data.y0 + ccd.y0, x - data.x0 + ccd.x0]])
            } else {
                0.0
            };
            let noise = amplifier.read_noise * rng.sample::<f64, _>(StandardNormal);
            *value = (amplifier.bias + (electrons + noise) / amplifier.gain).round().clamp(0.0, SATURATION_ADU) as i32;
        }
    });
    RawImage { header: header(detector, &layouts, (ny, nx), camera), adu }
}

/// Rows and columns of the raw frame.
fn size(arm: &Arm) -> (usize, usize) {
    (arm.ny + 2 * (arm.overscan_rows + PRE_ROWS), arm.nx + 2 * (arm.prescan + arm.overscan))
}

/// Row-wise: prescan, data and overscan of the left amplifier, overscan, data and prescan of the right one.
fn layout(arm: &Arm, amp: usize) -> Layout {
    let (ny, nx) = size(arm);
    let (upper, right) = (amp / 2 == 1, amp % 2 == 1);
    let (width, height) = (arm.nx / 2, arm.ny / 2);
    let (x0, bias, pre) = if right {
        (nx - arm.prescan - width, (nx / 2, nx / 2 + arm.overscan), (nx - arm.prescan, nx))
    } else {
        (arm.prescan, (nx / 2 - arm.overscan, nx / 2), (0, arm.prescan))
    };
    let (y0, over) = if upper {
        (ny - PRE_ROWS - height, (ny / 2, ny / 2 + arm.overscan_rows))
    } else {
        (PRE_ROWS, (ny / 2 - arm.overscan_rows, ny / 2))
    };
    let data = Section { x0, x1: x0 + width, y0, y1: y0 + height };
    Layout {
        data,
        bias: Section { x0: bias.0, x1: bias.1, ..data },
        pre: Section { x0: pre.0, x1: pre.1, ..data },
        over_rows: Section { y0: over.0, y1: over.1, ..data },
        ccd: Section {
            x0: if right { width } else { 0 },
            x1: if right { arm.nx } else { width },
            y0: if upper { height } else { 0 },
            y1: if upper { arm.ny } else { height },
        },
    }
}

impl Section {
    fn contains(&self, y: usize, x: usize) -> bool {
        (self.x0..self.x1).contains(&x) && (self.y0..self.y1).contains(&y)
    }

    /// `[x1:x2,y1:y2]`, counted from 1, ends included.
    fn keyword(&self) -> String {
        format!("[{}:{},{}:{}]", self.x0 + 1, self.x1, self.y0 + 1, self.y1)
    }
}

fn header(detector: &Detector, layouts: &[Layout], (ny, nx): (usize, usize), camera: Camera) -> Header {
    let mut header = Header::new();
    header.set("CAMERA", camera.to_string(), "camera");
    header.set("SPECGRPH", camera.spectrograph, "spectrograph");
    header.set("DETECTOR", format!("sim-{camera}"), "CCD");
    header.set("CCDSIZE", format!("{ny},{nx}"), "rows, columns read out");
    for ((suffix, layout), amplifier) in SUFFIXES.iter().zip(layouts).zip(&detector.amplifiers) {
        let key = |name: &str| format!("{name}{suffix}");
        header.set(&key("CCDSEC"), layout.ccd.keyword(), "place on the CCD");
        header.set(&key("DATASEC"), layout.data.keyword(), "pixels of light");
        header.set(&key("TRIMSEC"), layout.data.keyword(), "pixels of light");
        header.set(&key("BIASSEC"), layout.bias.keyword(), "overscan columns");
        header.set(&key("PRESEC"), layout.pre.keyword(), "prescan columns");
        header.set(&key("ORSEC"), layout.over_rows.keyword(), "overscan rows");
        header.set(&key("GAIN"), amplifier.gain, "[electron/ADU] gain");
        header.set(&key("RDNOISE"), amplifier.read_noise, "[electron] read noise");
        header.set(&key("SATURLEV"), SATURATION_ADU, "[ADU] saturation");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Instrument;
    use datamodel::Band;

    #[test]
    fn sections_are_those_of_a_full_size_ccd() {
        // the z cameras of DESI
        let arm = Instrument::load("desi").unwrap().arms.z;
        assert_eq!(size(&arm), (4194, 4256));
        let [a, _, _, d] = [0, 1, 2, 3].map(|amp| layout(&arm, amp));
        assert_eq!(a.data.keyword(), "[8:2064,2:2065]");
        assert_eq!(a.bias.keyword(), "[2065:2128,2:2065]");
        assert_eq!(a.over_rows.keyword(), "[8:2064,2066:2097]");
        assert_eq!(d.data.keyword(), "[2193:4249,2130:4193]");
        assert_eq!(d.bias.keyword(), "[2129:2192,2130:4193]");
        assert_eq!(d.pre.keyword(), "[4250:4256,2130:4193]");
        assert_eq!(d.ccd.keyword(), "[2058:4114,2065:4128]");
    }

    #[test]
    fn a_bright_pixel_lands_in_its_place_and_saturates() {
        let mut arm = Instrument::load("mini").unwrap().arms.b;
        (arm.nx, arm.ny, arm.hot_pixels, arm.bad_columns) = (40, 60, 0.0, 0.0);
        let camera = Camera::new(Band::B, 0);
        let detector = Detector::new(&arm, camera, 1);
        let mut electrons = Array2::zeros((60, 40));
        electrons[[59, 39]] = 20_000.0;
        electrons[[0, 0]] = 1e6;
        let raw = read_out(&detector, &Charge { cosmics: Array2::zeros((60, 40)), electrons }, 1, camera);
        let d = detector.amplifiers[3];
        let (ny, nx) = raw.adu.dim();
        let value = f64::from(raw.adu[[ny - 2, nx - arm.prescan - 1]]);
        assert!((value - d.bias - 20_000.0 / d.gain).abs() < 6.0 * d.read_noise / d.gain);
        assert_eq!(raw.adu[[1, arm.prescan]], 65_535);
    }
}
