//! Simulated frames whose truth is known, in memory, for the tests of the calibration steps.
#![allow(clippy::unwrap_used)]

use datamodel::{ColumnData, Fiberflat, Fibermap, FluxCalib, Frame, Header, Sky, Table};
use ndarray::{Array2, Array3, Axis};
use numerics::Resolution;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Fibres of Gaussian resolution on a grid of 0.8 Angstrom.
pub struct Instrument {
    /// Vacuum Angstrom.
    pub wave: Vec<f64>,
    /// `[nspec, ndiag, nwave]`.
    pub resolution: Array3<f32>,
}

impl Instrument {
    /// Camera b0 from 4000 Angstrom up, with a line width that varies from 0.95 to 1.15 bins over the fibres.
    pub fn new(nspec: usize, nwave: usize, ndiag: usize) -> Self {
        let sigma = |f: usize| 0.95 + 0.2 * f as f64 / nspec as f64;
        let half = (ndiag / 2) as f64;
        let mut resolution = Array3::zeros((nspec, ndiag, nwave));
        for f in 0..nspec {
            let profile: Vec<f64> = (0..ndiag).map(|k| (-0.5 * ((k as f64 - half) / sigma(f)).powi(2)).exp()).collect();
            let sum: f64 = profile.iter().sum();
            for (k, p) in profile.iter().enumerate() {
                resolution.index_axis_mut(Axis(0), f).row_mut(k).fill((p / sum) as f32);
            }
        }
        Self { wave: (0..nwave).map(|j| 4000.0 + 0.8 * j as f64).collect(), resolution }
    }

    /// Number of fibres.
    pub fn nspec(&self) -> usize {
        self.resolution.dim().0
    }

    /// Matrix of one fibre.
    pub fn resolution_of(&self, f: usize) -> Resolution {
        Resolution::from_dia(self.resolution.index_axis(Axis(0), f))
    }

    fn plane(&self, value: f32) -> Array2<f32> {
        Array2::from_elem((self.nspec(), self.wave.len()), value)
    }

    fn no_mask(&self) -> Array2<u32> {
        Array2::zeros((self.nspec(), self.wave.len()))
    }

    /// A flat of 1 with an error of 1e-4.
    pub fn unit_flat(&self) -> Fiberflat {
        Fiberflat {
            header: header(),
            wave: self.wave.clone(),
            fiberflat: self.plane(1.0),
            ivar: self.plane(1e8),
            mask: self.no_mask(),
            meanspec: vec![1.0; self.wave.len()],
            fibermap: None,
        }
    }

    /// A sky of 1 electron/Angstrom with an error of 0.5.
    pub fn unit_sky(&self) -> Sky {
        Sky {
            header: header(),
            wave: self.wave.clone(),
            sky: self.plane(1.0),
            ivar: self.plane(4.0),
            mask: self.no_mask(),
            stat_ivar: None,
            throughput_correction: None,
        }
    }

    /// A calibration of 1 with an error of 1e-4.
    pub fn unit_calibration(&self) -> FluxCalib {
        FluxCalib {
            header: header(),
            wave: self.wave.clone(),
            calib: self.plane(1.0),
            ivar: self.plane(1e8),
            mask: self.no_mask(),
            fibercorr: None,
            deconvolved: None,
        }
    }
}

fn header() -> Header {
    let mut h = Header::new();
    h.set("CAMERA", "b0", "").set("EXPID", 7, "").set("NIGHT", 20260101, "").set("EXPTIME", 1000.0, "[s]");
    h
}

/// A fibermap of `objtype` per row; TARGETID 100 + row, FIBER = row, FIBERSTATUS 0.
pub fn fibermap_of(objtype: &[&str]) -> Fibermap {
    let n = objtype.len();
    let mut table = Table::new();
    table
        .set("TARGETID", "", ColumnData::I64((0..n as i64).map(|i| 100 + i).collect()))
        .set("FIBER", "", ColumnData::I32((0..n as i32).collect()))
        .set("FIBERSTATUS", "", ColumnData::I32(vec![0; n]))
        .set("OBJTYPE", "", ColumnData::Str { width: 3, values: objtype.iter().map(|s| s.to_string()).collect() })
        .set("BRICKNAME", "", ColumnData::Str { width: 8, values: vec!["0000p000".into(); n] });
    Fibermap { header: header(), table }
}

/// Observes the true spectra (electron/Angstrom before the resolution), one a fibre: Poisson noise in the
/// Gaussian limit plus `read_noise` electrons a bin; the inverse variance is the true one. With
/// `read_noise` 0 there is no noise at all and ivar is 1.
pub fn frame_of(instrument: &Instrument, truth: &[Vec<f64>], read_noise: f64, seed: u64) -> Frame {
    let (nspec, nwave) = (truth.len(), instrument.wave.len());
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut flux = Array2::zeros((nspec, nwave));
    let mut ivar = Array2::ones((nspec, nwave));
    for f in 0..nspec {
        let resolution = instrument.resolution_of(f);
        let convolved = resolution.apply(&truth[f]).into_iter().zip(resolution.row_sums());
        for (j, (m, sum)) in convolved.enumerate() {
            // the sky does not end with the grid: a row that is cut sees what continues there
            let m = m / sum;
            flux[(f, j)] = m as f32;
            if read_noise > 0.0 {
                let sigma = (m.max(0.0) * 0.8 + read_noise * read_noise).sqrt() / 0.8;
                let g: f64 = StandardNormal.sample(&mut rng);
                flux[(f, j)] = (m + sigma * g) as f32;
                ivar[(f, j)] = (1.0 / (sigma * sigma)) as f32;
            }
        }
    }
    Frame {
        header: header(),
        wave: instrument.wave.clone(),
        flux,
        ivar,
        mask: Array2::zeros((nspec, nwave)),
        resolution: instrument.resolution.clone(),
        chi2pix: None,
        fibermap: fibermap_of(&vec!["TGT"; nspec]),
        scores: None,
    }
}

/// The rows of a frame, in the order given.
pub fn frame_rows(frame: &Frame, rows: &[usize]) -> Frame {
    Frame {
        header: frame.header.clone(),
        wave: frame.wave.clone(),
        flux: frame.flux.select(Axis(0), rows),
        ivar: frame.ivar.select(Axis(0), rows),
        mask: frame.mask.select(Axis(0), rows),
        resolution: frame.resolution.select(Axis(0), rows),
        chi2pix: None,
        fibermap: frame.fibermap.select(rows),
        scores: None,
    }
}
