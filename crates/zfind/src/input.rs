//! The spectra to be fitted, from files of any kind that the program reads, grouped by target.

use crate::{
    fibermap::value,
    sdss::{self, SdssSpectra},
    spectrum::{Channel, Grid, Target},
};
use datamodel::{Band, Error, Fibermap, Result, Spectra, fits::FitsReader, same_wavelengths};
use exposures::{Exposure, is_usable, mean};
use numerics::Resolution;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Grids that begin within this many Angstrom are of one camera: those of SDSS's spectra begin where each has data.
pub const SAME_CAMERA: f64 = 1000.0;

/// What is fitted.
const FITTED: &str = "spectra to fit (a brick, DESI's spectra- or coadd- file, or SDSS's spec- or spPlate file)";

/// One file.
pub enum Source {
    /// A brick, or DESI's spectra- or coadd- file, with the grids of its bands.
    Desi {
        /// What it holds.
        spectra: Box<Spectra>,
        /// Of each band.
        grids: BTreeMap<Band, Arc<Grid>>,
    },
    /// Spectra of SDSS or BOSS.
    Sdss(Box<SdssSpectra>),
}

/// A target and its spectra.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// TARGETID.
    pub id: i64,
    /// File and row of each of its spectra.
    pub rows: Vec<(usize, usize)>,
}

/// All files, and their targets in order of first appearance.
pub struct Inputs {
    /// The files.
    pub sources: Vec<Source>,
    /// The targets.
    pub targets: Vec<Entry>,
    /// Sigmas from which on a bin that differs from those of the target's other exposures is left out; none is at 0.
    pub cosmics_nsig: f64,
}

impl Source {
    fn read(path: &Path, known: &mut Vec<Arc<Grid>>) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        if !is_desi(&mut fits)? {
            if sdss::is_sdss(&mut fits) {
                return Ok(Self::Sdss(Box::new(SdssSpectra::read(&mut fits)?)));
            }
            return Err(Error::Unsuitable {
                path: path.to_path_buf(),
                expected: FITTED,
                found: fits.names().join(", "),
            });
        }
        drop(fits);
        let spectra = Spectra::read(path)?;
        if spectra.fibermap.table.ints("TARGETID").is_none() {
            return Err(Error::Invalid {
                path: path.to_path_buf(),
                hdu: "FIBERMAP".into(),
                item: "column TARGETID".into(),
                expected: "integers".into(),
                found: "nothing".into(),
            });
        }
        let grids = spectra.bands.iter().map(|(band, b)| (*band, shared(known, &b.wave))).collect();
        Ok(Self::Desi { spectra: Box::new(spectra), grids })
    }

    /// Its fibermap, one row a spectrum.
    pub fn fibermap(&self) -> &Fibermap {
        match self {
            Self::Desi { spectra, .. } => &spectra.fibermap,
            Self::Sdss(spectra) => &spectra.fibermap,
        }
    }

    /// Whether its rows are sums over exposures: they have no exposure number, or the exposures are listed.
    pub fn is_coadd(&self) -> bool {
        match self {
            Self::Desi { spectra, .. } => {
                let has = |column: &str| spectra.fibermap.table.column(column).is_some();
                spectra.exp_fibermap.is_some() || has("COADD_FIBERSTATUS") || !has("EXPID")
            }
            Self::Sdss(_) => true,
        }
    }

    /// Whether a row counts in a band: the fibre of a single exposure may be bad.
    pub fn is_used(&self, band: Band, row: usize) -> bool {
        let Self::Desi { spectra, .. } = self else { return true };
        let status = if self.is_coadd() { 0 } else { value(self, "FIBERSTATUS", row).unwrap_or(0) as u32 };
        spectra.bands.get(&band).is_some_and(|data| is_usable(band, data, row, status))
    }

    fn grids(&self) -> Vec<&Arc<Grid>> {
        match self {
            Self::Desi { grids, .. } => grids.values().collect(),
            Self::Sdss(spectra) => vec![spectra.grid()],
        }
    }
}

/// Whether a file holds spectra as DESI writes them, or our bricks (those of 2016: an arm, keyword CHANNEL).
fn is_desi(fits: &mut FitsReader) -> Result<bool> {
    let bands = ["B_FLUX", "R_FLUX", "Z_FLUX", "BRZ_FLUX"].iter().any(|hdu| fits.has(hdu));
    Ok(bands || fits.header("0")?.get("CHANNEL").is_some())
}

/// The grid of these wavelengths, the one made before if they are the same.
fn shared(known: &mut Vec<Arc<Grid>>, wave: &[f64]) -> Arc<Grid> {
    if let Some(grid) = known.iter().find(|g| same_wavelengths(&g.wave, wave)) {
        return grid.clone();
    }
    known.push(Arc::new(Grid::new(wave.to_vec())));
    known[known.len() - 1].clone()
}

impl Inputs {
    /// Reads files; only the targets `wanted`, if any are named.
    pub fn read(paths: &[PathBuf], wanted: &[i64]) -> Result<Self> {
        let mut known = Vec::new();
        let sources: Vec<Source> = paths.iter().map(|p| Source::read(p, &mut known)).collect::<Result<_>>()?;
        Ok(Self::new(sources, wanted))
    }

    /// Groups the rows of files by TARGETID.
    pub fn new(sources: Vec<Source>, wanted: &[i64]) -> Self {
        let mut targets: Vec<Entry> = Vec::new();
        let mut places: HashMap<i64, usize> = HashMap::new();
        for (file, source) in sources.iter().enumerate() {
            for (row, id) in source.fibermap().targetids().into_iter().enumerate() {
                if !wanted.is_empty() && !wanted.contains(&id) {
                    continue;
                }
                let place = *places.entry(id).or_insert_with(|| {
                    targets.push(Entry { id, rows: Vec::new() });
                    targets.len() - 1
                });
                targets[place].rows.push((file, row));
            }
        }
        Self { sources, targets, cosmics_nsig: 0.0 }
    }

    /// First and last observed wavelength of all files, Angstrom.
    pub fn range(&self) -> (f64, f64) {
        let edges = self.sources.iter().flat_map(Source::grids).map(|g| &g.edges);
        edges.fold((f64::INFINITY, 0.0), |(low, high), e| {
            (e.first().map_or(low, |x| low.min(*x)), e.last().map_or(high, |x| high.max(*x)))
        })
    }

    /// The cameras of all files by their first wavelengths, Angstrom, ascending.
    pub fn cameras(&self) -> Vec<f64> {
        let mut starts: Vec<f64> =
            self.sources.iter().flat_map(Source::grids).filter_map(|g| g.wave.first().copied()).collect();
        starts.sort_by(f64::total_cmp);
        starts.dedup_by(|b, a| (*b - *a).abs() < SAME_CAMERA);
        starts
    }

    /// The spectrum of one target: the mean of spectra on one grid; others are channels of their own.
    pub fn target(&self, entry: &Entry) -> Target {
        let mut channels: Vec<Channel> = Vec::new();
        let mut bands: Vec<(Arc<Grid>, Vec<Exposure>)> = Vec::new();
        for &(file, row) in &entry.rows {
            match &self.sources[file] {
                Source::Sdss(spectra) => channels.push(spectra.channel(row)),
                source @ Source::Desi { spectra, grids } => {
                    for (band, data) in spectra.bands.iter().filter(|(b, _)| source.is_used(**b, row)) {
                        let Some(grid) = grids.get(band) else { continue };
                        let exposure = Exposure::of(data, row);
                        match bands.iter_mut().find(|(g, _)| Arc::ptr_eq(g, grid)) {
                            Some((_, exposures)) => exposures.push(exposure),
                            None => bands.push((grid.clone(), vec![exposure])),
                        }
                    }
                }
            }
        }
        channels.extend(bands.into_iter().map(|(grid, exposures)| self.channel(grid, &exposures)));
        Target { id: entry.id, channels }
    }

    fn channel(&self, grid: Arc<Grid>, exposures: &[Exposure]) -> Channel {
        if let [e] = exposures {
            return channel(grid, e.flux.iter(), e.ivar.iter().zip(e.mask), Resolution::from_dia(e.resolution));
        }
        let ndiag = exposures.iter().map(|e| e.resolution.nrows()).fold(1, usize::max);
        let m = mean(&grid.wave, ndiag, exposures, self.cosmics_nsig);
        channel(grid, m.flux.iter(), m.ivar.iter().zip(&m.mask), Resolution::from_dia(m.resolution.view()))
    }
}

/// Masked bins have no weight.
fn channel<'a>(
    grid: Arc<Grid>,
    flux: impl Iterator<Item = &'a f32>,
    ivar: impl Iterator<Item = (&'a f32, &'a u32)>,
    resolution: Resolution,
) -> Channel {
    let weight = |(&w, &m): (&f32, &u32)| if m == 0 { f64::from(w) } else { 0.0 };
    Channel { grid, flux: flux.map(|&f| f64::from(f)).collect(), ivar: ivar.map(weight).collect(), resolution }
}
