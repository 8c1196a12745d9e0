//! Raw ADU to electrons, each amplifier for itself: bias, overscan, saturation, gain.

use crate::{
    amplifier::Amplifier,
    cosmics::Pixels,
    overscan::{self, Columns, Overscan, Rows},
    section::Section,
};
use datamodel::{Header, mask::ccd, raw::RawImage};
use ndarray::Array2;

/// An image on its way: the trimmed CCD in electrons.
pub(crate) struct Frame {
    pub pix: Array2<f32>,
    pub mask: Array2<u32>,
    pub readnoise: Array2<f32>,
}

impl Frame {
    pub fn pixels(&self) -> Pixels<'_> {
        Pixels { values: &self.pix, readnoise: &self.readnoise, mask: &self.mask }
    }
}

/// A raw frame with the bias image that goes with it, ADU.
pub(crate) struct Raw<'a> {
    pub frame: &'a RawImage,
    pub bias: Option<&'a Array2<f32>>,
    pub columns: Columns,
    pub rows: Rows,
}

impl Raw<'_> {
    /// Reads all amplifiers; their figures go into the header. Pixels that no amplifier reads stay BADAMP.
    pub fn read(&self, amplifiers: &[Amplifier], shape: (usize, usize), header: &mut Header) -> Frame {
        let mut frame = Frame {
            pix: Array2::zeros(shape),
            mask: Array2::from_elem(shape, ccd::BADAMP),
            readnoise: Array2::zeros(shape),
        };
        amplifiers.iter().for_each(|amplifier| self.read_amplifier(&mut frame, amplifier, header));
        frame
    }

    fn read_amplifier(&self, frame: &mut Frame, amplifier: &Amplifier, header: &mut Header) {
        let overscan = Overscan::measure(&self.adu(amplifier.overscan), self.columns);
        let (Some(overscan), Some(gain)) = (overscan, amplifier.gain) else {
            // its pixels keep BADAMP, value 0 and no information; NaN is no value of a FITS keyword
            header.remove(&format!("GAIN{}", amplifier.suffix));
            return;
        };
        let noise = overscan.noise * gain;
        overscan.report(amplifier, noise);
        let mut bits = if overscan.jumps() { ccd::BADREADNOISE } else { 0 };
        if !(noise > 0.0 && noise.is_finite()) {
            log::warn!("amplifier {}: the overscan shows no noise: masked as BADAMP", amplifier.suffix);
            bits |= ccd::BADAMP;
        }
        self.convert(frame, amplifier, &overscan, gain, bits);
        amplifier.ccd.of_mut(&mut frame.readnoise).fill(if bits & ccd::BADAMP == 0 { noise as f32 } else { 0.0 });
        record(header, amplifier, &overscan, gain, noise);
    }

    /// Electrons and mask of an amplifier's pixels.
    fn convert(&self, frame: &mut Frame, amplifier: &Amplifier, overscan: &Overscan, gain: f64, bits: u32) {
        let parallel = match amplifier.overscan_rows {
            Some(section) if self.rows != Rows::None => {
                overscan::parallel(&self.adu(section), overscan.level, self.rows)
            }
            _ => vec![],
        };
        let counts = amplifier.data.of(&self.frame.adu);
        let (mut pix, mut mask) = (amplifier.ccd.of_mut(&mut frame.pix), amplifier.ccd.of_mut(&mut frame.mask));
        for (y, ((mut pix, mut mask), adu)) in
            pix.rows_mut().into_iter().zip(mask.rows_mut()).zip(counts.rows()).enumerate()
        {
            let level = overscan.level_of(y);
            for ((pix, mask), adu) in pix.iter_mut().zip(&mut mask).zip(adu) {
                let adu = f64::from(*adu);
                *pix = ((adu - level) * gain) as f32;
                *mask = bits | if adu >= amplifier.saturation { ccd::SATURATED } else { 0 };
            }
            pix.iter_mut().zip(&parallel).for_each(|(pix, level)| *pix -= (level * gain) as f32);
        }
        if let Some(bias) = self.bias {
            let bias = amplifier.data.of(bias);
            for ((at, pix), bias) in pix.indexed_iter_mut().zip(bias) {
                if bias.is_finite() { *pix -= (f64::from(*bias) * gain) as f32 } else { mask[at] |= ccd::BAD }
            }
        }
    }

    /// Bias-subtracted ADU of a section; not finite where the bias image is not.
    fn adu(&self, section: Section) -> Array2<f64> {
        let mut part = section.of(&self.frame.adu).mapv(f64::from);
        if let Some(bias) = self.bias {
            part.zip_mut_with(&section.of(bias), |v, b| *v -= f64::from(*b));
        }
        part
    }
}

fn record(header: &mut Header, amplifier: &Amplifier, overscan: &Overscan, gain: f64, noise: f64) {
    let key = |name: &str| format!("{name}{}", amplifier.suffix);
    header.set(&key("OVERSCN"), overscan.level, "[ADU] overscan level");
    header.set(&key("OBSRDN"), noise, "[electron] measured read noise");
    header.set(&key("GAIN"), gain, "[electron/ADU] gain applied");
    header.set(&key("OSTEP"), overscan.step, "[ADU] range of the overscan over the rows");
    header.set(&key("OMETH"), if overscan.rows.is_some() { "PER_ROW" } else { "AVERAGE" }, "overscan level used");
    header.set(&key("SATULEV"), amplifier.saturation, "[ADU] saturation");
    header.set(&key("SATUELE"), gain * (amplifier.saturation - overscan.level), "[electron] saturation");
}
