//! `psf-` and `psfnight-` files: the Gauss-Hermite PSF of every fibre (PSFVER 3; PSFVER 2 is read).

use crate::checks::{check_finite, check_rows, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::{Column, ColumnData, Error, Header, Result, Table};
use ndarray::Array2;
use numerics::legendre;
use std::{collections::BTreeMap, path::Path};

/// The term that is 1 by definition: files hold it followed by left-overs of the preceding row.
const UNIT_TERM: &str = "GH-0-0";
/// Fibres of a DESI bundle, for files that do not say.
const FIBERS_PER_BUNDLE: usize = 25;

/// Legendre series in wavelength, one row a fibre: `Σ_k coeff[f, k] P_k(2(λ-wavemin)/(wavemax-wavemin)-1)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LegendreRows {
    /// Wavelengths in Angstrom that map to -1 and 1.
    pub wavemin: f64,
    /// See `wavemin`.
    pub wavemax: f64,
    /// `[nfiber, ncoeff]`.
    pub coeff: Array2<f64>,
}

impl LegendreRows {
    /// Reads an image HDU with keywords WAVEMIN and WAVEMAX.
    pub(crate) fn read(fits: &mut FitsReader, hdu: &str) -> Result<Self> {
        let path = fits.path().to_path_buf();
        let header = fits.header(hdu)?;
        let wavemin = header.require_float(&path, hdu, "WAVEMIN")?;
        let wavemax = header.require_float(&path, hdu, "WAVEMAX")?;
        let rows = Self { wavemin, wavemax, coeff: fits.plane_f64(hdu)? };
        rows.check(&path, hdu)?;
        Ok(rows)
    }

    /// Writes such an HDU.
    pub(crate) fn write(&self, fits: &mut FitsWriter, hdu: &str, header: &Header) -> Result<()> {
        let mut header = header.clone();
        header.set("WAVEMIN", self.wavemin, "[Angstrom] maps to -1").set(
            "WAVEMAX",
            self.wavemax,
            "[Angstrom] maps to 1",
        );
        fits.image(hdu, self.coeff.view(), &header)
    }

    /// A range that is one, finite coefficients.
    pub(crate) fn check(&self, path: &Path, hdu: &str) -> Result<()> {
        if self.wavemin >= self.wavemax {
            let found = format!("{} and {}", self.wavemin, self.wavemax);
            return Err(invalid(path, hdu, "WAVEMIN and WAVEMAX", "an ascending range", found));
        }
        check_finite(path, hdu, "values", &self.coeff)
    }

    /// The same polynomials on another range.
    fn on_range(&self, wavemin: f64, wavemax: f64) -> Array2<f64> {
        if (self.wavemin, self.wavemax) == (wavemin, wavemax) {
            return self.coeff.clone();
        }
        let n = self.coeff.ncols();
        // As many nodes as coefficients: the fit is exact.
        let nodes: Vec<f64> = (0..n).map(|i| (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).cos()).collect();
        let mut coeff = self.coeff.clone();
        for mut row in coeff.rows_mut() {
            let values: Vec<f64> = nodes
                .iter()
                .map(|u| {
                    let wave = wavemin + (u + 1.0) / 2.0 * (wavemax - wavemin);
                    legendre::evaluate(&row.to_vec(), legendre::reduced(wave, self.wavemin, self.wavemax))
                })
                .collect();
            if let Ok(c) = legendre::fit(&nodes, &values, &vec![1.0; n], n) {
                row.iter_mut().zip(c).for_each(|(x, c)| *x = c);
            }
        }
        coeff
    }
}

/// A Gauss-Hermite PSF file.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussHermitePsf {
    /// Keywords of HDU PSF: CAMERA, NPIX_X, NPIX_Y, ARCEXP, BnnRCHI2, BnnNDATA ...
    pub header: Header,
    /// Pixel x of the trace (first pixel centre is 0), HDU XTRACE.
    pub x: LegendreRows,
    /// Pixel y of the trace, HDU YTRACE.
    pub y: LegendreRows,
    /// Wavelength range of the rows of `parameters`, Angstrom.
    pub wavemin: f64,
    /// See `wavemin`.
    pub wavemax: f64,
    /// PARAM -> COEFF `[nfiber, LEGDEG+1]` of GHSIGX, GHSIGY, GH-i-j, TAILAMP, TAILCORE, TAILXSCA, TAILYSCA,
    /// TAILINDE, CONT. `GH-0-0` is 1 on reading whatever the file's junk says (specex means 1).
    pub parameters: BTreeMap<String, Array2<f64>>,
    /// Bundle of each fibre, row BUNDLE.
    pub bundle: Vec<i32>,
    /// Status of the fit of each fibre: 0 fitted, -1 skipped, 1-4 failed, row STATUS.
    pub status: Vec<i32>,
    /// First fibre, FIBERMIN.
    pub fibermin: usize,
    /// Highest Hermite orders in x and y, GHDEGX and GHDEGY.
    pub ghdeg: (usize, usize),
    /// Half size of a spot in pixels, HSIZEX and HSIZEY.
    pub half_size: (usize, usize),
    /// Size of the image `(ny, nx)`, NPIX_Y and NPIX_X.
    pub npix: (usize, usize),
}

impl GaussHermitePsf {
    /// Reads and validates a file.
    ///
    /// In PSFVER 2 the traces are rows X and Y of the table, and each row has a wavelength range of its own; the
    /// parameters are re-expanded on that of GHSIGX.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let hdu = first_of(&fits, &["PSF", "1"])?;
        let mut header = fits.header(&hdu)?;
        header.extend_missing(&fits.header("0")?);
        let mut rows = read_rows(&mut fits, &hdu, &header)?;
        let mut trace = |name: &str, row: &str| match rows.remove(row) {
            Some(rows) if !fits.has(name) => Ok(rows),
            _ => LegendreRows::read(&mut fits, name),
        };
        let (x, y) = (trace("XTRACE", "X")?, trace("YTRACE", "Y")?);
        let nfiber = x.coeff.nrows();
        let mut fixed = |name: &str, default: fn(usize) -> i32| -> Vec<i32> {
            let stored = rows.remove(name).map(|r| r.coeff.column(0).iter().map(|&v| v as i32).collect());
            stored.unwrap_or_else(|| (0..nfiber).map(default).collect())
        };
        let bundle = fixed("BUNDLE", |fiber| (fiber / FIBERS_PER_BUNDLE) as i32);
        let status = fixed("STATUS", |_| 0);
        let Some(LegendreRows { wavemin, wavemax, .. }) = rows.get("GHSIGX").cloned() else {
            return Err(invalid(path, &hdu, "column PARAM", "row GHSIGX", "no such row"));
        };
        let mut parameters: BTreeMap<String, Array2<f64>> =
            rows.into_iter().map(|(name, r)| (name, r.on_range(wavemin, wavemax))).collect();
        parameters.entry(UNIT_TERM.to_string()).and_modify(set_to_one);
        let integer = |key: &str| header.require_int(path, &hdu, key).map(|v| v.max(0) as usize);
        let psf = Self {
            fibermin: header.int("FIBERMIN").unwrap_or(0).max(0) as usize,
            ghdeg: (integer("GHDEGX")?, integer("GHDEGY")?),
            half_size: (integer("HSIZEX")?, integer("HSIZEY")?),
            npix: (integer("NPIX_Y")?, integer("NPIX_X")?),
            header,
            x,
            y,
            wavemin,
            wavemax,
            parameters,
            bundle,
            status,
        };
        psf.check(path)?;
        Ok(psf)
    }

    /// Writes a file atomically.
    ///
    /// Absent GH terms are written as 0, an absent tail with its neutral values.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let (table, ncoeff) = self.table();
        let mut traces = Header::new();
        traces.set("PSFTYPE", "GAUSS-HERMITE", "").set("PSFVER", 3, "");
        if let Some(camera) = self.header.str("CAMERA") {
            traces.set("CAMERA", camera, "spectrograph camera");
        }
        traces.set("NPIX_X", self.npix.1, "[pixel] width of the image").set("NPIX_Y", self.npix.0, "[pixel] height");
        traces.set("FIBERMIN", self.fibermin, "first fibre");
        traces.set("FIBERMAX", (self.fibermin + self.nfiber()).saturating_sub(1), "last fibre");
        let mut header = self.header.clone();
        for card in traces.cards() {
            header.set(&card.key, card.value.clone(), &card.comment);
        }
        // in the table's header specter compares the version as text, and specex requires the three others
        header.set("PSFVER", "3", "");
        for key in ["MJD", "PLATEID", "ARCEXP"].into_iter().filter(|k| self.header.get(k).is_none()) {
            header.set(key, 0, "");
        }
        header.set("GHDEGX", self.ghdeg.0, "highest Hermite order in x").set("GHDEGY", self.ghdeg.1, "and in y");
        header.set("HSIZEX", self.half_size.0, "[pixel] half size of a spot").set(
            "HSIZEY",
            self.half_size.1,
            "[pixel]",
        );
        header.set("NPARAMS", table.nrows() - 2, "parameters of a fibre").set("LEGDEG", ncoeff - 1, "Legendre degree");
        header.set("WAVEMIN", self.wavemin, "[Angstrom] maps to -1").set(
            "WAVEMAX",
            self.wavemax,
            "[Angstrom] maps to 1",
        );
        let mut fits = FitsWriter::create(path)?;
        self.x.write(&mut fits, "XTRACE", &traces)?;
        self.y.write(&mut fits, "YTRACE", &traces)?;
        fits.table("PSF", &table, &header)?;
        fits.finish()
    }

    /// The rows in the order of specex's files, and the number of coefficients, to which shorter series are
    /// padded with zeros.
    fn table(&self) -> (Table, usize) {
        let nfiber = self.nfiber();
        let ncoeff = self.parameters.values().map(|c| c.ncols()).fold(1, usize::max);
        let constant = |value: &dyn Fn(usize) -> f64| Array2::from_shape_fn((nfiber, 1), |(f, _)| value(f));
        let mut names = Vec::new();
        let mut coeff = Vec::new();
        for name in self.row_names() {
            let rows = match name.as_str() {
                "BUNDLE" => constant(&|f| f64::from(self.bundle[f])),
                "STATUS" => constant(&|f| f64::from(self.status[f])),
                UNIT_TERM => constant(&|_| 1.0),
                name => self.parameters.get(name).cloned().unwrap_or_else(|| constant(&|_| neutral(name))),
            };
            let padding = std::iter::repeat_n(0.0, ncoeff - rows.ncols());
            coeff.extend(rows.rows().into_iter().flat_map(|r| r.to_vec().into_iter().chain(padding.clone())));
            names.push(name);
        }
        let degree = |n: usize| ColumnData::I32(vec![n as i32; names.len()]);
        let degrees = [degree(0), degree(ncoeff - 1)];
        let mut table = Table::new();
        table.set("PARAM", "", ColumnData::Str { width: 8, values: names });
        let shape = vec![nfiber, ncoeff];
        table.set_column(Column { name: "COEFF".into(), unit: String::new(), shape, data: ColumnData::F64(coeff) });
        for (name, data) in ["LEGDEGX", "LEGDEGW"].into_iter().zip(degrees) {
            table.set(name, "", data);
        }
        (table, ncoeff)
    }

    /// GHSIGX, GHSIGY, the GH terms with the order in x running fastest, the tail, the rows that are no
    /// parameters, and whatever else there is.
    fn row_names(&self) -> Vec<String> {
        let (nx, ny) = self.ghdeg;
        let mut names = vec!["GHSIGX".to_string(), "GHSIGY".to_string()];
        names.extend((0..=ny).flat_map(|j| (0..=nx).map(move |i| format!("GH-{i}-{j}"))));
        names.extend(
            ["TAILAMP", "TAILCORE", "TAILXSCA", "TAILYSCA", "TAILINDE", "BUNDLE", "STATUS", "CONT"].map(String::from),
        );
        let others: Vec<String> = self.parameters.keys().filter(|k| !names.contains(k)).cloned().collect();
        names.extend(others);
        names
    }

    fn check(&self, path: &Path) -> Result<()> {
        self.x.check(path, "XTRACE")?;
        self.y.check(path, "YTRACE")?;
        let nfiber = self.nfiber();
        check_rows(path, "YTRACE", self.y.coeff.nrows(), nfiber)?;
        check_rows(path, "PSF", self.bundle.len(), nfiber)?;
        check_rows(path, "PSF", self.status.len(), nfiber)?;
        if self.wavemin >= self.wavemax {
            let found = format!("{} and {}", self.wavemin, self.wavemax);
            return Err(invalid(path, "PSF", "WAVEMIN and WAVEMAX", "an ascending range", found));
        }
        for (name, coeff) in &self.parameters {
            check_rows(path, "PSF", coeff.nrows(), nfiber)?;
            check_finite(path, "PSF", &format!("row {name}"), coeff)?;
        }
        match ["GHSIGX", "GHSIGY"].into_iter().find(|n| !self.parameters.contains_key(*n)) {
            None => Ok(()),
            Some(name) => Err(invalid(path, "PSF", "column PARAM", format!("row {name}"), "no such row")),
        }
    }

    /// Number of fibres.
    pub fn nfiber(&self) -> usize {
        self.x.coeff.nrows()
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }

    /// Reduced chi2 of a bundle, BnnRCHI2.
    pub fn rchi2(&self, bundle: usize) -> Option<f64> {
        self.header.float(&format!("B{bundle:02}RCHI2"))
    }
}

fn set_to_one(coeff: &mut Array2<f64>) {
    coeff.fill(0.0);
    coeff.column_mut(0).fill(1.0);
}

/// What an absent parameter means: no tail of core 1, scales 1 and index 2, no continuum, no GH term.
fn neutral(name: &str) -> f64 {
    match name {
        "TAILCORE" | "TAILXSCA" | "TAILYSCA" => 1.0,
        "TAILINDE" => 2.0,
        _ => 0.0,
    }
}

/// The first of these HDUs that a file has; a number stands for an HDU without a name.
pub(crate) fn first_of(fits: &FitsReader, names: &[&str]) -> Result<String> {
    let is_there = |name: &&&str| fits.names().iter().any(|n| n.eq_ignore_ascii_case(name));
    let found = names.iter().find(is_there).map(|n| n.to_string());
    found.ok_or_else(|| Error::MissingHdu {
        path: fits.path().to_path_buf(),
        hdu: names[0].to_string(),
        found: fits.names().join(", "),
    })
}

/// PARAM -> COEFF of a table, on the range of the row (PSFVER 2) or of the header (PSFVER 3).
fn read_rows(fits: &mut FitsReader, hdu: &str, header: &Header) -> Result<BTreeMap<String, LegendreRows>> {
    let path = fits.path().to_path_buf();
    let table = fits.table(hdu)?;
    let absent = |item: &str| invalid(&path, hdu, &format!("column {item}"), "a column", "nothing");
    let names = table.strings("PARAM").ok_or_else(|| absent("PARAM"))?;
    let coeff = table.column("COEFF").ok_or_else(|| absent("COEFF"))?;
    let values = coeff.data.to_f64().ok_or_else(|| absent("COEFF"))?;
    let &[nfiber, ncoeff] = coeff.shape.as_slice() else {
        return Err(invalid(&path, hdu, "shape of COEFF", "[fibre, coefficient]", format!("{:?}", coeff.shape)));
    };
    let limits = |key: &str| match table.floats(key) {
        Some(column) => Ok(column),
        None => header.require_float(&path, hdu, key).map(|v| vec![v; names.len()]),
    };
    let (min, max) = (limits("WAVEMIN")?, limits("WAVEMAX")?);
    let rows = names.iter().enumerate().map(|(i, name)| {
        let cell = &values[i * nfiber * ncoeff..][..nfiber * ncoeff];
        let coeff = Array2::from_shape_fn((nfiber, ncoeff), |(f, k)| cell[f * ncoeff + k]);
        (name.trim().to_string(), LegendreRows { wavemin: min[i], wavemax: max[i], coeff })
    });
    Ok(rows.collect())
}
