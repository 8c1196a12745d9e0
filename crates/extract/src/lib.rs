//! Spectra, inverse variances and resolution matrices from an image: the spectroperfectionism of Bolton &
//! Schlegel (2010, PASP 122, 248).
//!
//! The image is modelled as `p = A f + noise`, where column `(fibre, bin)` of `A` is a spot. The normal
//! equations `Aᵀ W A f = Aᵀ W p` of some fibres over the whole wavelength range form one banded system, which
//! is factored, solved and decorrelated in the band: no patches, cost linear in the number of bins.
//! docs/algorithms/extract.md derives it.

pub mod barycentric;
pub mod decorrelate;
pub mod frame;
pub mod grid;
pub mod normal;
pub mod pixels;
pub mod projection;
pub mod quality;
pub mod size;
pub mod solve;

pub use decorrelate::Decorrelation;
pub use grid::Grid;
pub use pixels::Pixels;

use grid::{bundles, sub_bundles};
use ndarray::{Array2, Array3, s};
use normal::Normal;
use numerics::NumericsError;
use projection::Projection;
use psf::Psf;
use quality::Window;
use rayon::prelude::*;
use solve::Spectrum;
use std::{ops::Range, sync::Mutex};

/// Bins that are solved for beyond both ends of the grid, so that light from there is not taken for light
/// of the grid: deconvolved errors decay by more than 1e-3 over them.
pub const WAVE_PAD: usize = 20;

/// Fractional error of the PSF of files that do not say (keyword PSFERR), as the survey assumes.
pub const PSF_ERROR: f64 = 0.01;

/// What to extract and how.
#[derive(Debug, Clone)]
pub struct Params {
    /// Output wavelengths.
    pub grid: Grid,
    /// Rows of the PSF whose spectra are wanted.
    pub fibers: Range<usize>,
    /// Fibres per bundle; bundles do not share light.
    pub bundlesize: usize,
    /// Parts into which a bundle is cut.
    pub nsubbundles: usize,
    /// Prior `α` on every bin, electron^-1; 0 for none.
    pub regularize: f64,
    /// Which correlations are removed.
    pub decorrelation: Decorrelation,
    /// Fractional error of the PSF, used in chi2pix.
    pub psf_error: f64,
}

/// Why nothing can be extracted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExtractError {
    /// The PSF does not have the fibres.
    #[error("fibres {}-{} are wanted, but the PSF has {nfiber} fibres", fibers.start, fibers.end.max(fibers.start + 1) - 1)]
    NoSuchFiber {
        /// Fibres that were asked for.
        fibers: Range<usize>,
        /// Fibres of the PSF.
        nfiber: usize,
    },
    /// No fibre has a spot on the image.
    #[error("the PSF covers {:.1}-{:.1} Angstrom and an image of {}x{} pixels: no bin of {first:.1}-{last:.1} Angstrom can be extracted", range.0, range.1, image.0, image.1)]
    NotCovered {
        /// First wavelength of the grid, Angstrom.
        first: f64,
        /// Last wavelength of the grid, Angstrom.
        last: f64,
        /// Wavelengths of the PSF, Angstrom.
        range: (f64, f64),
        /// Rows and columns.
        image: (usize, usize),
    },
    /// The image is not the one that the PSF describes.
    #[error(
        "the image has {}x{} pixels (rows x columns), but the PSF describes one of {}x{}, and the image is no cut-out of \
         it that holds every spot of the fibres wanted: take the PSF of this camera",
        image.0, image.1, expected.0, expected.1
    )]
    WrongSize {
        /// Rows and columns.
        image: (usize, usize),
        /// Rows and columns of the PSF.
        expected: (usize, usize),
    },
    /// The equations could not be solved.
    #[error("fibres {}-{}: {source}", fibers.start, fibers.end - 1)]
    Singular {
        /// Fibres of the sub-bundle.
        fibers: Range<usize>,
        /// The failed factorisation.
        source: NumericsError,
    },
}

/// Extracted spectra; arrays `[fibre, bin]`.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// electron/Angstrom; 0 where there is no information.
    pub flux: Array2<f32>,
    /// Inverse variance of `flux`.
    pub ivar: Array2<f32>,
    /// Bits of [`datamodel::mask::spec`].
    pub mask: Array2<u32>,
    /// `[fibre, ndiag, bin]` with `ndiag = 2 HSIZEY + 1`, layout of [`numerics::Resolution`].
    pub resolution: Array3<f32>,
    /// Mean chi2 of the pixels under each spot.
    pub chi2pix: Array2<f32>,
    /// `A f`, electrons, `[y, x]`.
    pub model: Array2<f32>,
}

/// Extracts the spectra of `params.fibers`. Bundles are solved whole, so that the result does not depend on
/// which fibres are asked for. `done` is called after each bundle with the number of its fibres.
///
/// # Errors
/// See [`ExtractError`].
pub fn extract(
    pixels: &Pixels,
    psf: &Psf,
    params: &Params,
    done: impl Fn(usize) + Sync,
) -> Result<Extraction, ExtractError> {
    let (fibers, nfiber) = (params.fibers.clone(), psf.nfiber());
    if fibers.is_empty() || fibers.end > nfiber {
        return Err(ExtractError::NoSuchFiber { fibers, nfiber });
    }
    let all = bundles(&fibers, nfiber, params.bundlesize);
    let mut out = Extraction::zeros(pixels.shape(), fibers.len(), params.grid.n, 2 * psf.file().half_size.1 + 1);
    // as many bundles at once as there are threads: the spots of a bundle take 90 MB, which the next one uses again
    let memory = Mutex::new(Vec::new());
    for some in all.chunks(rayon::current_num_threads().max(1)) {
        let solved: Result<Vec<Bundle>, ExtractError> = some
            .par_iter()
            .map(|bundle| {
                let solved = Bundle::solve(pixels, psf, params, bundle.clone(), &memory);
                done(bundle.len());
                solved
            })
            .collect();
        solved?.iter().for_each(|bundle| out.insert(bundle, params));
    }
    if out.mask.iter().all(|m| m & datamodel::mask::spec::NODATA != 0) {
        let covered = projection::wavelength_range(psf);
        return Err(ExtractError::NotCovered {
            first: params.grid.first,
            last: params.grid.wave(params.grid.n - 1),
            range: (*covered.start(), *covered.end()),
            image: pixels.shape(),
        });
    }
    quality::flag_bad_fits(&out.chi2pix, &mut out.mask);
    Ok(out)
}

/// The solution of one bundle.
struct Bundle {
    fibers: Range<usize>,
    spectra: Vec<Spectrum>,
    window: Window,
    /// `[nfiber, padded bins]`.
    chi2pix: Vec<f64>,
    /// `[nfiber, padded bins]`.
    mask: Vec<u32>,
}

impl Bundle {
    fn solve(
        pixels: &Pixels,
        psf: &Psf,
        params: &Params,
        fibers: Range<usize>,
        memory: &Mutex<Vec<Vec<f64>>>,
    ) -> Result<Self, ExtractError> {
        let grid = params.grid.padded(WAVE_PAD);
        let ndiag = 2 * psf.file().half_size.1 + 1;
        let spots = memory.lock().ok().and_then(|mut m| m.pop()).unwrap_or_default();
        let a = Projection::in_memory_of(spots, psf, fibers.clone(), &grid, pixels.shape());
        let normal = Normal::new(&a, pixels);
        let parts: Result<Vec<Vec<Spectrum>>, ExtractError> = sub_bundles(0..fibers.len(), params.nsubbundles)
            .par_iter()
            .map(|sub| {
                let (from, to) = (fibers.start + sub.core.start, fibers.start + sub.core.end);
                solve::solve(&normal, sub, params.decorrelation, params.regularize, ndiag)
                    .map_err(|source| ExtractError::Singular { fibers: from..to, source })
            })
            .collect();
        let spectra: Vec<Spectrum> = parts?.into_iter().flatten().collect();
        let fluxes: Vec<&[f64]> = spectra.iter().map(|s| s.deconvolved.as_slice()).collect();
        let window = quality::model(&a, &fluxes, pixels.shape().0);
        let chi2pix = quality::chi2pix(&a, pixels, &window, params.psf_error);
        let bits = |k: usize| quality::pixel_bits(a.corner(k / a.nwave, k % a.nwave).is_some(), normal.covered[k]);
        let mask = (0..a.nfiber * a.nwave).map(bits).collect();
        if let Ok(mut memory) = memory.lock() {
            memory.push(a.into_memory());
        }
        Ok(Self { fibers, spectra, window, chi2pix, mask })
    }
}

impl Extraction {
    fn zeros(image: (usize, usize), nspec: usize, nwave: usize, ndiag: usize) -> Self {
        Self {
            flux: Array2::zeros((nspec, nwave)),
            ivar: Array2::zeros((nspec, nwave)),
            mask: Array2::zeros((nspec, nwave)),
            resolution: Array3::zeros((nspec, ndiag, nwave)),
            chi2pix: Array2::zeros((nspec, nwave)),
            model: Array2::zeros(image),
        }
    }

    /// Copies the wanted fibres of a bundle, without the padding, per Angstrom.
    fn insert(&mut self, bundle: &Bundle, params: &Params) {
        let window = &bundle.window;
        let target = self.model.slice_mut(s![.., window.columns.clone()]);
        target.into_iter().zip(&window.values).for_each(|(t, m)| *t += *m as f32);
        let (n, padded) = (params.grid.n, params.grid.n + 2 * WAVE_PAD);
        for spectrum in &bundle.spectra {
            let fiber = bundle.fibers.start + spectrum.fiber;
            if !params.fibers.contains(&fiber) {
                continue;
            }
            let row = fiber - params.fibers.start;
            for i in 0..n {
                let (p, k) = (i + WAVE_PAD, spectrum.fiber * padded + i + WAVE_PAD);
                self.insert_bin((row, i), spectrum, p, params.grid.step, bundle.mask[k]);
                self.chi2pix[(row, i)] = bundle.chi2pix[k] as f32;
                for (d, r) in self.resolution.slice_mut(s![row, .., i]).iter_mut().enumerate() {
                    *r = spectrum.whitened.resolution[d * padded + p] as f32;
                }
            }
        }
    }

    /// A bin without any light on good pixels has flux 0 and ivar 0.
    fn insert_bin(&mut self, at: (usize, usize), spectrum: &Spectrum, p: usize, step: f64, mask: u32) {
        use datamodel::mask::spec::{ALLBADPIX, NODATA};
        let flux = (spectrum.whitened.flux[p] / step) as f32;
        let ivar = (spectrum.whitened.ivar[p] * step * step) as f32;
        let usable = mask & (ALLBADPIX | NODATA) == 0 && flux.is_finite() && ivar.is_finite();
        self.mask[at] = if usable { mask } else { if mask == 0 { ALLBADPIX } else { mask } };
        if usable {
            (self.flux[at], self.ivar[at]) = (flux, ivar);
        }
    }
}
