//! Calibrated spectra grouped by brick or by HEALPix pixel: the rows of a group from any number of calibrated frames, all
//! arms in one product, whatever the order of the frames.

pub mod healpix;
mod scores;
mod sky_group;

use datamodel::{
    Band, BandSpectra, Column, ColumnData, Fibermap, Frame, Header, Spectra, Table, describe_wavelengths, mask::spec,
    same_wavelengths,
};
use ndarray::{Array2, Array3, Axis, s};
pub use sky_group::{Group, Grouping};
use std::collections::{BTreeMap, BTreeSet};

/// Why frames cannot be grouped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two frames of one arm have different wavelengths.
    #[error("{first} and {second} have different wavelengths: {expected} against {found}")]
    Wavelength {
        /// Name of the first frame.
        first: String,
        /// Name of the second.
        second: String,
        /// Grid of the first.
        expected: String,
        /// Grid of the second.
        found: String,
    },
    /// The header of a frame does not say what it is.
    #[error("{frame}[FLUX]: keyword {keyword} is missing")]
    Keyword {
        /// Name of the frame.
        frame: String,
        /// CAMERA, NIGHT or EXPID.
        keyword: &'static str,
    },
    /// The same camera and exposure twice.
    #[error("{first} and {second} are the same camera and exposure")]
    Twice {
        /// Name of the first frame.
        first: String,
        /// Name of the second.
        second: String,
    },
    /// No fibre of any frame is of the group.
    #[error("no spectrum of {group} in {frames} frames")]
    Empty {
        /// The group.
        group: String,
        /// Frames looked at.
        frames: usize,
    },
}

/// Spectra of one arm, to be grouped.
#[derive(Debug, Clone)]
pub struct Part {
    name: String,
    band: Band,
    /// The exposure that a frame is of; `None` for what has been grouped before.
    exposure: Option<Exposure>,
    keys: Vec<Key>,
    fibermap: Fibermap,
    spectra: BandSpectra,
    /// Rows of its SCORES.
    scores: Option<Table>,
}

/// NIGHT, EXPID and camera.
type Exposure = (i64, i64, String);

/// What a row of the group is sorted by: TARGETID, NIGHT, EXPID, FIBER.
type Key = (i64, i64, i64, i32);

impl Part {
    /// All rows of a calibrated frame; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Keyword`].
    pub fn of_frame(name: &str, frame: Frame) -> Result<Self, Error> {
        let missing = |keyword| Error::Keyword { frame: name.to_string(), keyword };
        let camera = frame.camera().ok_or_else(|| missing("CAMERA"))?;
        let night = frame.header.int("NIGHT").ok_or_else(|| missing("NIGHT"))?;
        let expid = frame.header.int("EXPID").ok_or_else(|| missing("EXPID"))?;
        let scores = frame.scores.filter(|s| s.nrows() == frame.flux.nrows());
        let mut fibermap = frame.fibermap;
        add_exposure(&mut fibermap.table, &frame.header, night, expid);
        let targets = fibermap.targetids().into_iter().zip(fibermap.fibers());
        Ok(Self {
            name: name.to_string(),
            band: camera.band,
            exposure: Some((night, expid, camera.to_string())),
            keys: targets.map(|(target, fiber)| (target, night, expid, fiber)).collect(),
            fibermap,
            scores,
            spectra: BandSpectra {
                wave: frame.wave,
                flux: frame.flux,
                ivar: frame.ivar,
                mask: frame.mask,
                resolution: frame.resolution,
            },
        })
    }

    /// What has been grouped before, a part for each arm.
    ///
    /// # Errors
    /// [`Error::Keyword`] if its rows do not say which exposure they are of.
    pub fn of_group(name: &str, spectra: Spectra) -> Result<Vec<Self>, Error> {
        let column = |keyword| {
            let missing = Error::Keyword { frame: name.to_string(), keyword };
            spectra.fibermap.table.ints(keyword).ok_or(missing)
        };
        let (targets, nights) = (column("TARGETID")?, column("NIGHT")?);
        let (expids, fibers) = (column("EXPID")?, column("FIBER")?);
        let keys: Vec<Key> = (0..targets.len()).map(|i| (targets[i], nights[i], expids[i], fibers[i] as i32)).collect();
        let of_band = |(band, of_band)| Self {
            name: name.to_string(),
            band,
            exposure: None,
            keys: keys.clone(),
            fibermap: spectra.fibermap.clone(),
            spectra: of_band,
            scores: spectra.scores.clone(),
        };
        Ok(spectra.bands.into_iter().map(of_band).collect())
    }
}

/// NIGHT, EXPID, MJD (days) and TILEID of each row.
fn add_exposure(table: &mut Table, header: &Header, night: i64, expid: i64) {
    let n = table.nrows();
    table
        .set("NIGHT", "", ColumnData::I32(vec![night as i32; n]))
        .set("EXPID", "", ColumnData::I32(vec![expid as i32; n]))
        .set("MJD", "d", ColumnData::F64(vec![header.float("MJD-OBS").unwrap_or(0.0); n]))
        .set("TILEID", "", ColumnData::I32(vec![header.int("TILEID").unwrap_or(-1) as i32; n]));
}

/// Groups the parts: one row a target, exposure and fibre, sorted by (TARGETID, NIGHT, EXPID, FIBER). Where a
/// row lacks an arm that others have, that arm has ivar 0 and mask NODATA. A frame replaces what has been grouped before
/// of its camera and exposure.
///
/// # Errors
/// [`Error::Empty`], [`Error::Twice`], [`Error::Wavelength`].
pub fn group(group: &Group, mut parts: Vec<Part>) -> Result<Spectra, Error> {
    parts.sort_by(|a, b| (&a.exposure, &a.name).cmp(&(&b.exposure, &b.name)));
    let same = |p: &&[Part]| p[0].exposure.is_some() && p[0].exposure == p[1].exposure;
    if let Some(pair) = parts.windows(2).find(same) {
        return Err(Error::Twice { first: pair[0].name.clone(), second: pair[1].name.clone() });
    }
    let rows = index(&parts);
    if rows.is_empty() {
        return Err(Error::Empty { group: group.to_string(), frames: parts.len() });
    }
    let mut bands = BTreeMap::new();
    for band in Band::ALL {
        let of_band: Vec<&Part> = parts.iter().filter(|p| p.band == band).collect();
        if let Some(spectra) = fill(&of_band, &rows)? {
            bands.insert(band, spectra);
        }
    }
    let scores = Some(scores::merge(&parts, &rows));
    Ok(Spectra { header: group.header(), fibermap: fibermap(&parts, &rows), exp_fibermap: None, bands, scores })
}

/// Row of the brick of each key.
fn index(parts: &[Part]) -> BTreeMap<Key, usize> {
    let keys: BTreeSet<Key> = parts.iter().flat_map(|p| p.keys.iter().copied()).collect();
    keys.into_iter().enumerate().map(|(row, key)| (key, row)).collect()
}

/// The spectra of one arm; `None` without any frame of it.
fn fill(parts: &[&Part], rows: &BTreeMap<Key, usize>) -> Result<Option<BandSpectra>, Error> {
    let Some(first) = parts.first() else { return Ok(None) };
    let wave = &first.spectra.wave;
    if let Some(other) = parts.iter().find(|p| !same_wavelengths(wave, &p.spectra.wave)) {
        let (first, second) = (first.name.clone(), other.name.clone());
        return Err(Error::Wavelength {
            first,
            second,
            expected: describe_wavelengths(wave),
            found: describe_wavelengths(&other.spectra.wave),
        });
    }
    let ndiag = parts.iter().map(|p| p.spectra.resolution.dim().1).max().unwrap_or(1);
    let shape = (rows.len(), wave.len());
    let mut out = BandSpectra {
        wave: wave.clone(),
        flux: Array2::zeros(shape),
        ivar: Array2::zeros(shape),
        mask: Array2::from_elem(shape, spec::NODATA),
        resolution: Array3::zeros((shape.0, ndiag, shape.1)),
    };
    for part in parts {
        let own = part.spectra.resolution.dim().1;
        let pad = (ndiag - own) / 2;
        for (k, key) in part.keys.iter().enumerate() {
            let row = rows[key];
            out.flux.row_mut(row).assign(&part.spectra.flux.row(k));
            out.ivar.row_mut(row).assign(&part.spectra.ivar.row(k));
            out.mask.row_mut(row).assign(&part.spectra.mask.row(k));
            out.resolution
                .slice_mut(s![row, pad..pad + own, ..])
                .assign(&part.spectra.resolution.index_axis(Axis(0), k));
        }
    }
    Ok(Some(out))
}

/// The fibermap row of each key, from the first part that has it; columns that not all parts have are left
/// out.
fn fibermap(parts: &[Part], rows: &BTreeMap<Key, usize>) -> Fibermap {
    let filled: Vec<&Part> = parts.iter().filter(|p| !p.keys.is_empty()).collect();
    let same = |a: &Column, b: &Column| {
        a.shape == b.shape && std::mem::discriminant(&a.data) == std::mem::discriminant(&b.data)
    };
    let everywhere = |c: &&Column| filled.iter().all(|p| p.fibermap.table.column(&c.name).is_some_and(|o| same(c, o)));
    let columns: Vec<String> = filled
        .first()
        .map_or(vec![], |p| p.fibermap.table.columns().iter().filter(everywhere).map(|c| c.name.clone()).collect());
    let mut stacked = Table::new();
    let mut place: Vec<Option<usize>> = vec![None; rows.len()];
    let mut count = 0;
    for part in &filled {
        let mut table = Table::new();
        for name in &columns {
            part.fibermap.table.column(name).into_iter().for_each(|c| {
                table.set_column(c.clone());
            });
        }
        // the columns agree by construction
        if let Err(column) = stacked.append(&table) {
            log::warn!("{}: column {column} of the fibermap cannot be joined", part.name);
            continue;
        }
        for (k, key) in part.keys.iter().enumerate() {
            place[rows[key]].get_or_insert(count + k);
        }
        count += part.keys.len();
    }
    let order: Vec<usize> = place.into_iter().flatten().collect();
    Fibermap { header: Header::new(), table: stacked.select(&order) }
}
