//! The spectra to be fitted, from files of any kind that the program reads, grouped by target.

use crate::{
    coadd::Coadd,
    sdss::{self, SdssSpectra},
    spectrum::{Channel, Grid, Target},
};
use datamodel::{Band, BandSpectra, Fibermap, Result, Spectra, fits::FitsReader, mask::fiber};
use ndarray::s;
use numerics::Resolution;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Grids that begin within this many Angstrom are of one camera: those of SDSS's spectra begin where each has data.
pub const SAME_CAMERA: f64 = 1000.0;

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
}

impl Source {
    fn read(path: &Path, known: &mut Vec<Arc<Grid>>) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        if sdss::is_sdss(&fits) {
            return Ok(Self::Sdss(Box::new(SdssSpectra::read(&mut fits)?)));
        }
        drop(fits);
        let spectra = Spectra::read_masking(path)?;
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

    fn grids(&self) -> Vec<&Arc<Grid>> {
        match self {
            Self::Desi { grids, .. } => grids.values().collect(),
            Self::Sdss(spectra) => vec![spectra.grid()],
        }
    }
}

/// The grid of these wavelengths, the one made before if they agree to 1e-4 Angstrom.
fn shared(known: &mut Vec<Arc<Grid>>, wave: &[f64]) -> Arc<Grid> {
    let same =
        |g: &&Arc<Grid>| g.wave.len() == wave.len() && g.wave.iter().zip(wave).all(|(a, b)| (a - b).abs() < 1e-4);
    if let Some(grid) = known.iter().find(same) {
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
        Self { sources, targets }
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

    /// The spectrum of one target: spectra on one grid are coadded, others are channels of their own.
    pub fn target(&self, entry: &Entry) -> Target {
        let mut channels: Vec<Channel> = Vec::new();
        let mut bands: Vec<(Arc<Grid>, Vec<Row>)> = Vec::new();
        for &(file, row) in &entry.rows {
            match &self.sources[file] {
                Source::Sdss(spectra) => channels.push(spectra.channel(row)),
                source @ Source::Desi { spectra, grids } => {
                    let status = if source.is_coadd() { 0 } else { fiberstatus(&spectra.fibermap, row) };
                    for (band, data) in spectra.bands.iter().filter(|(b, _)| status & fiber::bad(**b) == 0) {
                        let Some(grid) = grids.get(band) else { continue };
                        match bands.iter_mut().find(|(g, _)| Arc::ptr_eq(g, grid)) {
                            Some((_, rows)) => rows.push(Row { data, row }),
                            None => bands.push((grid.clone(), vec![Row { data, row }])),
                        }
                    }
                }
            }
        }
        channels.extend(bands.into_iter().map(|(grid, rows)| sum(grid, &rows)));
        Target { id: entry.id, channels }
    }
}

/// One spectrum in one band.
struct Row<'a> {
    data: &'a BandSpectra,
    row: usize,
}

impl Row<'_> {
    fn ndiag(&self) -> usize {
        self.data.resolution.dim().1
    }

    /// As a channel of its own.
    fn channel(&self, grid: Arc<Grid>) -> Channel {
        let Self { data, row } = *self;
        let flux = data.flux.row(row).iter().map(|&f| f64::from(f)).collect();
        let weight = |(&w, &m): (&f32, &u32)| if m == 0 { f64::from(w) } else { 0.0 };
        let ivar = data.ivar.row(row).iter().zip(data.mask.row(row)).map(weight).collect();
        Channel { grid, flux, ivar, resolution: Resolution::from_dia(data.resolution.slice(s![row, .., ..])) }
    }

    fn add_to(&self, coadd: &mut Coadd) {
        let Self { data, row } = *self;
        let half = self.ndiag() / 2;
        // a file may have more or fewer diagonals than others
        let resolution = |i: usize, j: usize| {
            let k = i + half;
            if k >= j && k - j < 2 * half + 1 { f64::from(data.resolution[(row, k - j, j)]) } else { 0.0 }
        };
        coadd.add(
            |i| f64::from(data.flux[(row, i)]),
            |i| f64::from(data.ivar[(row, i)]),
            |i| data.mask[(row, i)] != 0,
            resolution,
        );
    }
}

fn sum(grid: Arc<Grid>, rows: &[Row]) -> Channel {
    if let [row] = rows {
        return row.channel(grid);
    }
    let ndiag = rows.iter().map(Row::ndiag).fold(1, usize::max);
    let mut coadd = Coadd::new(grid, ndiag);
    rows.iter().for_each(|r| r.add_to(&mut coadd));
    coadd.finish()
}

fn fiberstatus(fibermap: &Fibermap, row: usize) -> u32 {
    fibermap.table.column("FIBERSTATUS").and_then(|c| c.data.to_i64()).map_or(0, |v| v[row] as u32)
}
