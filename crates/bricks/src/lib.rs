//! Calibrated spectra grouped by brick: the rows of a brick from any number of calibrated frames, all arms in
//! one product. The order of the frames does not matter, and the product is made anew from them each time.

mod scores;

use datamodel::{
    Band, BandSpectra, Column, ColumnData, Fibermap, Frame, Header, Spectra, Table, describe_wavelengths, mask::spec,
    same_wavelengths,
};
use ndarray::{Array2, Array3, Axis, s};
use std::collections::BTreeMap;

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
    /// No fibre of any frame is on the brick.
    #[error("no spectrum of brick {brick} in {frames} frames")]
    Empty {
        /// The brick.
        brick: String,
        /// Frames looked at.
        frames: usize,
    },
}

/// The rows of one frame that belong to the brick.
#[derive(Debug, Clone)]
pub struct Part {
    name: String,
    night: i64,
    expid: i64,
    band: Band,
    camera: String,
    /// TARGETID and FIBER of each row.
    keys: Vec<(i64, i32)>,
    fibermap: Fibermap,
    spectra: BandSpectra,
    /// Rows of the frame's SCORES.
    scores: Option<Table>,
}

/// What a row of the brick is sorted by: TARGETID, NIGHT, EXPID, FIBER.
type Key = (i64, i64, i64, i32);

/// Takes the brick's targets and sky fibres out of a calibrated frame; `name` is for messages.
///
/// # Errors
/// [`Error::Keyword`].
pub fn part(name: &str, frame: &Frame, brick: &str) -> Result<Part, Error> {
    let missing = |keyword| Error::Keyword { frame: name.to_string(), keyword };
    let camera = frame.camera().ok_or_else(|| missing("CAMERA"))?;
    let night = frame.header.int("NIGHT").ok_or_else(|| missing("NIGHT"))?;
    let expid = frame.header.int("EXPID").ok_or_else(|| missing("EXPID"))?;
    let rows = rows_of(&frame.fibermap, brick);
    let mut fibermap = frame.fibermap.select(&rows);
    add_exposure(&mut fibermap.table, &frame.header, night, expid);
    Ok(Part {
        name: name.to_string(),
        night,
        expid,
        band: camera.band,
        camera: camera.to_string(),
        keys: fibermap.targetids().into_iter().zip(fibermap.fibers()).collect(),
        fibermap,
        scores: frame.scores.as_ref().filter(|s| s.nrows() == frame.nspec()).map(|s| s.select(&rows)),
        spectra: BandSpectra {
            wave: frame.wave.clone(),
            flux: frame.flux.select(Axis(0), &rows),
            ivar: frame.ivar.select(Axis(0), &rows),
            mask: frame.mask.select(Axis(0), &rows),
            resolution: frame.resolution.select(Axis(0), &rows),
        },
    })
}

/// Rows with this BRICKNAME that look at something: no broken or unassigned fibres.
fn rows_of(fibermap: &Fibermap, brick: &str) -> Vec<usize> {
    let Some(names) = fibermap.table.strings("BRICKNAME") else { return vec![] };
    let kinds = fibermap.table.strings("OBJTYPE");
    let assigned = |i: usize| kinds.is_none_or(|k| !["", "NON", "BAD"].contains(&k[i].trim()));
    (0..fibermap.len()).filter(|&i| names[i].trim() == brick && assigned(i)).collect()
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
/// row lacks an arm that others have, that arm has ivar 0 and mask NODATA.
///
/// # Errors
/// [`Error::Empty`], [`Error::Twice`], [`Error::Wavelength`].
pub fn group(brick: &str, mut parts: Vec<Part>) -> Result<Spectra, Error> {
    let frames = parts.len();
    parts.sort_by(|a, b| (a.night, a.expid, &a.camera, &a.name).cmp(&(b.night, b.expid, &b.camera, &b.name)));
    let same = |p: &&[Part]| (p[0].night, p[0].expid, &p[0].camera) == (p[1].night, p[1].expid, &p[1].camera);
    if let Some(pair) = parts.windows(2).find(same) {
        return Err(Error::Twice { first: pair[0].name.clone(), second: pair[1].name.clone() });
    }
    let rows = index(&parts);
    if rows.is_empty() {
        return Err(Error::Empty { brick: brick.to_string(), frames });
    }
    let mut bands = BTreeMap::new();
    for band in Band::ALL {
        let of_band: Vec<&Part> = parts.iter().filter(|p| p.band == band).collect();
        if let Some(spectra) = fill(&of_band, &rows)? {
            bands.insert(band, spectra);
        }
    }
    let mut header = Header::new();
    header.set("BRICKNAM", brick, "brick of the imaging survey");
    let scores = Some(scores::merge(&parts, &rows));
    Ok(Spectra { header, fibermap: fibermap(&parts, &rows), exp_fibermap: None, bands, scores })
}

/// Row of the brick of each key.
fn index(parts: &[Part]) -> BTreeMap<Key, usize> {
    let keys: std::collections::BTreeSet<Key> = parts.iter().flat_map(Part::row_keys).collect();
    keys.into_iter().enumerate().map(|(row, key)| (key, row)).collect()
}

impl Part {
    fn row_keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().map(|&(target, fiber)| (target, self.night, self.expid, fiber))
    }
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
        for (k, key) in part.row_keys().enumerate() {
            let row = rows[&key];
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
        for (k, key) in part.row_keys().enumerate() {
            place[rows[&key]].get_or_insert(count + k);
        }
        count += part.keys.len();
    }
    let order: Vec<usize> = place.into_iter().flatten().collect();
    Fibermap { header: Header::new(), table: stacked.select(&order) }
}
