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
use ndarray::{Array2, Array3, Axis, s};
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
    /// Whether the model image is wanted.
    pub model: bool,
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
    /// `A f`, electrons, `[y, x]`; empty if it was not wanted.
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
    let mut out = Extraction::zeros(fibers.len(), params.grid.n, psf.box_size().1);
    if params.model {
        out.model = Array2::zeros(pixels.shape());
    }
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
        solved?.iter().for_each(|bundle| out.insert(bundle));
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
    /// First row of the output that the wanted fibres of the bundle fill.
    row: usize,
    /// Their spectra.
    spectra: Extraction,
    window: Window,
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
        let ndiag = psf.box_size().1;
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
        let wanted = fibers.start.max(params.fibers.start)..fibers.end.min(params.fibers.end);
        let mut out = Extraction::zeros(wanted.len(), params.grid.n, ndiag);
        for fiber in wanted.clone() {
            let at = fiber - fibers.start;
            let (bins, row) = (at * a.nwave..(at + 1) * a.nwave, fiber - wanted.start);
            let mask: Vec<u32> = bins.clone().map(bits).collect();
            out.fill(row, &spectra[at], &chi2pix[bins], &mask, params.grid.step);
        }
        if let Ok(mut memory) = memory.lock() {
            memory.push(a.into_memory());
        }
        Ok(Self { row: wanted.start - params.fibers.start, spectra: out, window })
    }
}

impl Extraction {
    fn zeros(nspec: usize, nwave: usize, ndiag: usize) -> Self {
        Self {
            flux: Array2::zeros((nspec, nwave)),
            ivar: Array2::zeros((nspec, nwave)),
            mask: Array2::zeros((nspec, nwave)),
            resolution: Array3::zeros((nspec, ndiag, nwave)),
            chi2pix: Array2::zeros((nspec, nwave)),
            model: Array2::zeros((0, 0)),
        }
    }

    /// Copies a bundle to its rows.
    fn insert(&mut self, bundle: &Bundle) {
        let (from, window) = (&bundle.spectra, &bundle.window);
        let rows = bundle.row..bundle.row + from.flux.nrows();
        self.flux.slice_mut(s![rows.clone(), ..]).assign(&from.flux);
        self.ivar.slice_mut(s![rows.clone(), ..]).assign(&from.ivar);
        self.mask.slice_mut(s![rows.clone(), ..]).assign(&from.mask);
        self.resolution.slice_mut(s![rows.clone(), .., ..]).assign(&from.resolution);
        self.chi2pix.slice_mut(s![rows, ..]).assign(&from.chi2pix);
        if !self.model.is_empty() {
            let target = self.model.slice_mut(s![.., window.columns.clone()]);
            target.into_iter().zip(&window.values).for_each(|(t, m)| *t += *m as f32);
        }
    }

    /// Fills a row from a spectrum, its chi2pix and its mask on the padded grid, without the padding, per Angstrom.
    fn fill(&mut self, row: usize, spectrum: &Spectrum, chi2pix: &[f64], mask: &[u32], step: f64) {
        let n = self.flux.ncols();
        for i in 0..n {
            self.fill_bin((row, i), spectrum, i + WAVE_PAD, step, mask[i + WAVE_PAD]);
            self.chi2pix[(row, i)] = chi2pix[i + WAVE_PAD] as f32;
        }
        let diagonals = spectrum.whitened.resolution.chunks_exact(mask.len());
        for (mut to, from) in self.resolution.index_axis_mut(Axis(0), row).rows_mut().into_iter().zip(diagonals) {
            to.iter_mut().zip(&from[WAVE_PAD..]).for_each(|(t, r)| *t = *r as f32);
        }
    }

    /// A bin without any light on good pixels has flux 0 and ivar 0.
    fn fill_bin(&mut self, at: (usize, usize), spectrum: &Spectrum, p: usize, step: f64, mask: u32) {
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
