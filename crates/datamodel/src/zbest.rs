//! `zbest-BRICK.fits`: redshifts with redrock's columns (HDU REDSHIFTS).

use crate::checks::{check_finite, check_rows, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::{Column, ColumnData, Fibermap, Header, Result, Table, psf};
use std::{collections::HashMap, path::Path};

/// The best fit of one target: a row of REDSHIFTS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Redshift {
    /// TARGETID.
    pub targetid: i64,
    /// Redshift Z.
    pub z: f64,
    /// Its statistical error ZERR.
    pub zerr: f64,
    /// [`crate::mask::zwarn`] bits, ZWARN.
    pub zwarn: i64,
    /// Pixels with information, NPIXELS.
    pub npixels: i64,
    /// GALAXY, QSO or STAR, SPECTYPE.
    pub spectype: String,
    /// Of a star its type, SUBTYPE.
    pub subtype: String,
    /// Coefficients of the templates; NCOEFF is their number, COEFF is zero-padded to the longest of the file
    /// and at least 10.
    pub coeff: Vec<f64>,
    /// chi2 of the best fit, CHI2.
    pub chi2: f64,
    /// chi2 of the next best fit minus that of the best, DELTACHI2.
    pub deltachi2: f64,
    /// PCA, NMF, ARCH or NONE, FITMETHOD.
    pub fitmethod: String,
}

/// A redshift file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Zbest {
    /// Header of the primary HDU and of REDSHIFTS: RRVER, TEMNAMnn, TEMVERnn, TEMFILnn ...
    pub header: Header,
    /// HDU REDSHIFTS, in the order of the targets.
    pub redshifts: Vec<Redshift>,
    /// Further columns of REDSHIFTS, a row a target; no columns if there are none.
    pub extra: Table,
    /// Rows of the targets in the same order, HDU FIBERMAP.
    pub fibermap: Fibermap,
    /// One row a target and exposure, HDU EXP_FIBERMAP.
    pub exp_fibermap: Option<Fibermap>,
    /// HDU TSNR2.
    pub tsnr2: Option<Table>,
}

impl Zbest {
    /// Reads and validates a file.
    ///
    /// The table may be called ZBEST (files before 2021, whose FIBERMAP may have several rows a target: the
    /// first one is kept), its columns may be of any width, and those of Redmonster suffice.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let header = fits.header("0")?;
        let hdu = psf::first_of(&fits, &["REDSHIFTS", "ZBEST"])?;
        let table = fits.table(&hdu)?;
        let redshifts = read_redshifts(path, &hdu, &table)?;
        let extra = further_columns(&table);
        let fibermap = match Fibermap::read_optional(&mut fits, "FIBERMAP")? {
            Some(fibermap) => one_row_each(path, fibermap, &redshifts)?,
            None => only_targetids(&redshifts),
        };
        let exp_fibermap = Fibermap::read_optional(&mut fits, "EXP_FIBERMAP")?;
        let tsnr2 = if fits.has("TSNR2") { Some(fits.table("TSNR2")?) } else { None };
        let zbest = Self { header, redshifts, extra, fibermap, exp_fibermap, tsnr2 };
        zbest.check(path, &hdu)?;
        Ok(zbest)
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path, "REDSHIFTS")?;
        check_rows(path, "FIBERMAP", self.fibermap.len(), self.redshifts.len())?;
        if !self.extra.columns().is_empty() {
            check_rows(path, "REDSHIFTS", self.extra.nrows(), self.redshifts.len())?;
        }
        let mut fits = FitsWriter::create(path)?;
        fits.empty_primary(&self.header)?;
        fits.table("REDSHIFTS", &self.table(), &self.header)?;
        self.fibermap.write_to(&mut fits, "FIBERMAP")?;
        if let Some(exposures) = &self.exp_fibermap {
            exposures.write_to(&mut fits, "EXP_FIBERMAP")?;
        }
        if let Some(tsnr2) = &self.tsnr2 {
            fits.table("TSNR2", tsnr2, &Header::new())?;
        }
        fits.finish()
    }

    /// REDSHIFTS with redrock's columns, types and order.
    fn table(&self) -> Table {
        let z = &self.redshifts;
        let ncoeff = z.iter().map(|r| r.coeff.len()).fold(10, usize::max);
        let padded = |r: &Redshift| -> Vec<f32> {
            r.coeff.iter().map(|&c| c as f32).chain(std::iter::repeat(0.0)).take(ncoeff).collect()
        };
        let text = |width: usize, f: &dyn Fn(&Redshift) -> &String| ColumnData::Str {
            width,
            values: z.iter().map(|r| f(r).clone()).collect(),
        };
        let mut t = Table::new();
        t.set("TARGETID", "", ColumnData::I64(z.iter().map(|r| r.targetid).collect()));
        t.set("CHI2", "", ColumnData::F32(z.iter().map(|r| r.chi2 as f32).collect()));
        let data = ColumnData::F32(z.iter().flat_map(padded).collect());
        t.set_column(Column { name: "COEFF".into(), unit: String::new(), shape: vec![ncoeff], data });
        t.set("Z", "", ColumnData::F64(z.iter().map(|r| r.z).collect()));
        t.set("ZERR", "", ColumnData::F32(z.iter().map(|r| r.zerr as f32).collect()));
        t.set("ZWARN", "", ColumnData::I32(z.iter().map(|r| r.zwarn as i32).collect()));
        t.set("NPIXELS", "", ColumnData::I32(z.iter().map(|r| r.npixels as i32).collect()));
        t.set("SPECTYPE", "", text(6, &|r| &r.spectype)).set("SUBTYPE", "", text(3, &|r| &r.subtype));
        t.set("NCOEFF", "", ColumnData::I16(z.iter().map(|r| r.coeff.len() as i16).collect()));
        t.set("DELTACHI2", "", ColumnData::F32(z.iter().map(|r| r.deltachi2 as f32).collect()));
        t.set("FITMETHOD", "", text(4, &|r| &r.fitmethod));
        self.extra.columns().iter().for_each(|c| _ = t.set_column(c.clone()));
        t
    }

    fn check(&self, path: &Path, hdu: &str) -> Result<()> {
        self.redshifts.iter().try_for_each(|r| {
            let numbers = [&r.z, &r.zerr, &r.chi2, &r.deltachi2].into_iter().chain(&r.coeff);
            check_finite(path, hdu, &format!("row of target {}", r.targetid), numbers)
        })
    }
}

/// The rows of REDSHIFTS or ZBEST; what Redmonster does not say is 0 or empty.
fn read_redshifts(path: &Path, hdu: &str, table: &Table) -> Result<Vec<Redshift>> {
    let absent = |name: &str| invalid(path, hdu, &format!("column {name}"), "numbers", "nothing");
    let targetid = table.ints("TARGETID").ok_or_else(|| absent("TARGETID"))?;
    let z = table.floats("Z").ok_or_else(|| absent("Z"))?;
    let n = targetid.len();
    let floats = |name: &str| table.floats(name).unwrap_or_else(|| vec![0.0; n]);
    let ints = |name: &str| table.ints(name).unwrap_or_else(|| vec![0; n]);
    let texts = |name: &str| table.strings(name).map_or_else(|| vec![String::new(); n], <[String]>::to_vec);
    let (zerr, chi2, deltachi2) = (floats("ZERR"), floats("CHI2"), floats("DELTACHI2"));
    let (zwarn, npixels) = (ints("ZWARN"), ints("NPIXELS"));
    let (spectype, subtype, fitmethod) = (texts("SPECTYPE"), texts("SUBTYPE"), texts("FITMETHOD"));
    let width = table.column("COEFF").map_or(0, Column::repeat);
    let coeff = table.floats("COEFF").unwrap_or_default();
    let ncoeff = table.ints("NCOEFF").unwrap_or_else(|| vec![width as i64; n]);
    let row = |i: usize| Redshift {
        targetid: targetid[i],
        z: z[i],
        zerr: zerr[i],
        zwarn: zwarn[i],
        npixels: npixels[i],
        spectype: spectype[i].clone(),
        subtype: subtype[i].clone(),
        coeff: coeff[i * width..(i + 1) * width].iter().take(ncoeff[i].max(0) as usize).copied().collect(),
        chi2: chi2[i],
        deltachi2: deltachi2[i],
        fitmethod: fitmethod[i].clone(),
    };
    Ok((0..n).map(row).collect())
}

/// The columns that [`Redshift`] does not have.
fn further_columns(table: &Table) -> Table {
    let own = Zbest { redshifts: vec![Redshift::default()], ..Zbest::default() }.table();
    let mut further = Table::new();
    let columns = table.columns().iter().filter(|c| own.column(&c.name).is_none());
    columns.for_each(|c| _ = further.set_column(c.clone()));
    further
}

/// The first row of each target, in the order of the redshifts.
fn one_row_each(path: &Path, fibermap: Fibermap, redshifts: &[Redshift]) -> Result<Fibermap> {
    let ids = fibermap.targetids();
    if ids.iter().eq(redshifts.iter().map(|r| &r.targetid)) {
        return Ok(fibermap);
    }
    let mut rows: HashMap<i64, usize> = HashMap::new();
    for (row, id) in ids.into_iter().enumerate() {
        rows.entry(id).or_insert(row);
    }
    let row_of = |r: &Redshift| {
        let absent = || invalid(path, "FIBERMAP", "column TARGETID", format!("a row of target {}", r.targetid), "none");
        rows.get(&r.targetid).copied().ok_or_else(absent)
    };
    let rows = redshifts.iter().map(row_of).collect::<Result<Vec<_>>>()?;
    Ok(fibermap.select(&rows))
}

fn only_targetids(redshifts: &[Redshift]) -> Fibermap {
    let mut table = Table::new();
    table.set("TARGETID", "", ColumnData::I64(redshifts.iter().map(|r| r.targetid).collect()));
    Fibermap { header: Header::new(), table }
}
