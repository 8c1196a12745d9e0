//! `stdstars-SPECTROGRAPH-EXPID.fits`: models of the standard stars.

use crate::checks::{check_finite, check_rows, check_shape, check_wave, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::{ColumnData, Fibermap, Header, Result, Table, planes, units};
use ndarray::{Array2, ArrayView1};
use std::path::Path;

/// Columns of the S/N in b, r, z.
const SNR: [&str; 3] = ["BLUE_SNR", "RED_SNR", "NIR_SNR"];

/// Best model of each star, normalised to its photometry, not convolved with the resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct StdStars {
    /// Keywords of HDU FLUX.
    pub header: Header,
    /// Vacuum Angstrom, the templates' own grid, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// `[nstar, nwave]`, 1e-17 erg/s/cm2/Angstrom, redshifted to the star's velocity, HDU FLUX.
    pub flux: Array2<f32>,
    /// Global FIBER of each star, HDU FIBERS.
    pub fibers: Vec<i32>,
    /// One row a star, HDU METADATA.
    pub stars: Vec<StarFit>,
    /// `[nstar, ntemplate]` weights of the templates, HDU COEFF.
    pub coeff: Array2<f64>,
    /// Rows of the stars, HDU FIBERMAP.
    pub fibermap: Option<Fibermap>,
    /// Frames that were fitted: (NIGHT, EXPID, CAMERA), HDU INPUT_FRAMES.
    pub input_frames: Vec<(i64, i64, String)>,
}

/// The fit of one star (HDU METADATA).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StarFit {
    /// TARGETID.
    pub targetid: i64,
    /// Global FIBER.
    pub fiber: i32,
    /// log10 of the surface gravity in cm/s2, LOGG.
    pub logg: f64,
    /// Effective temperature in K, TEFF.
    pub teff: f64,
    /// [Fe/H] in dex, FEH.
    pub feh: f64,
    /// chi2 per degree of freedom, CHI2DOF.
    pub chi2dof: f64,
    /// Redshift, positive for a receding star, REDSHIFT.
    pub redshift: f64,
    /// Observed G-R colour, DATA_G-R.
    pub data_color: f64,
    /// Model G-R colour, MODEL_G-R.
    pub model_color: f64,
    /// Median S/N per bin in b, r, z: BLUE_SNR, RED_SNR, NIR_SNR.
    pub snr: [f64; 3],
}

impl StdStars {
    /// Reads and validates a file.
    ///
    /// METADATA of 2016 has CHI2DOF and REDSHIFT only, the latter with the opposite sign.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let name = planes::or_primary(&fits, "FLUX");
        let header = planes::with_unit(&fits.header(&name)?, units::FLUX);
        let flux = fits.plane(&name)?;
        let wave = fits.vector("WAVELENGTH")?.to_vec();
        let fibers: Vec<i32> = fits.vector("FIBERS")?.iter().map(|&f| f as i32).collect();
        let stars = read_stars(&fits.table("METADATA")?, &fibers);
        let coeff = if fits.has("COEFF") { fits.plane_f64("COEFF")? } else { Array2::zeros((fibers.len(), 0)) };
        let fibermap = Fibermap::read_optional(&mut fits, "FIBERMAP")?;
        let input_frames = if fits.has("INPUT_FRAMES") { read_inputs(&fits.table("INPUT_FRAMES")?) } else { vec![] };
        let stars = Self { header, wave, flux, fibers, stars, coeff, fibermap, input_frames };
        stars.check(path)?;
        Ok(stars)
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let mut fits = FitsWriter::create(path)?;
        fits.image("FLUX", self.flux.view(), &planes::with_unit(&self.header, units::FLUX))?;
        fits.image("WAVELENGTH", ArrayView1::from(&self.wave), &planes::unit(units::ANGSTROM))?;
        fits.image("FIBERS", ArrayView1::from(&self.fibers), &Header::new())?;
        fits.table("METADATA", &self.metadata(), &Header::new())?;
        if self.coeff.ncols() > 0 {
            fits.image("COEFF", self.coeff.view(), &Header::new())?;
        }
        if let Some(fibermap) = &self.fibermap {
            fibermap.write_to(&mut fits, "FIBERMAP")?;
        }
        fits.table("INPUT_FRAMES", &self.inputs(), &Header::new())?;
        fits.finish()
    }

    fn metadata(&self) -> Table {
        let floats = |f: &dyn Fn(&StarFit) -> f64| ColumnData::F64(self.stars.iter().map(f).collect());
        let mut t = Table::new();
        t.set("TARGETID", "", ColumnData::I64(self.stars.iter().map(|s| s.targetid).collect()));
        t.set("FIBER", "", ColumnData::I32(self.stars.iter().map(|s| s.fiber).collect()));
        t.set("LOGG", "", floats(&|s| s.logg)).set("TEFF", "K", floats(&|s| s.teff)).set("FEH", "", floats(&|s| s.feh));
        t.set("CHI2DOF", "", floats(&|s| s.chi2dof)).set("REDSHIFT", "", floats(&|s| s.redshift));
        t.set("DATA_G-R", "mag", floats(&|s| s.data_color)).set("MODEL_G-R", "mag", floats(&|s| s.model_color));
        for (i, name) in SNR.into_iter().enumerate() {
            t.set(name, "", floats(&|s| s.snr[i]));
        }
        t
    }

    fn inputs(&self) -> Table {
        let mut t = Table::new();
        t.set("NIGHT", "", ColumnData::I32(self.input_frames.iter().map(|f| f.0 as i32).collect()));
        t.set("EXPID", "", ColumnData::I32(self.input_frames.iter().map(|f| f.1 as i32).collect()));
        t.set(
            "CAMERA",
            "",
            ColumnData::Str { width: 2, values: self.input_frames.iter().map(|f| f.2.clone()).collect() },
        );
        t
    }

    fn check(&self, path: &Path) -> Result<()> {
        let n = self.fibers.len();
        check_wave(path, "WAVELENGTH", &self.wave)?;
        check_shape(path, "FLUX", self.flux.shape(), &[n, self.wave.len()])?;
        check_finite(path, "FLUX", "values", &self.flux)?;
        check_rows(path, "METADATA", self.stars.len(), n)?;
        check_rows(path, "COEFF", self.coeff.nrows(), n)?;
        check_finite(path, "COEFF", "values", &self.coeff)?;
        for s in &self.stars {
            let snr = s.snr.iter();
            let numbers = [&s.logg, &s.teff, &s.feh, &s.chi2dof, &s.redshift, &s.data_color, &s.model_color]
                .into_iter()
                .chain(snr);
            check_finite(path, "METADATA", &format!("row of fibre {}", s.fiber), numbers)?;
        }
        match n {
            0 => Err(invalid(path, "FIBERS", "rows", "at least one star", "none")),
            _ => self.fibermap.as_ref().map_or(Ok(()), |f| check_rows(path, "FIBERMAP", f.len(), n)),
        }
    }
}

fn read_stars(table: &Table, fibers: &[i32]) -> Vec<StarFit> {
    let number = |name: &str, row: usize| table.floats(name).map_or(0.0, |c| c[row]);
    let starts_with = |start: &str| table.columns().iter().find(|c| c.name.starts_with(start)).map_or("", |c| &c.name);
    let (data_color, model_color) = (starts_with("DATA_"), starts_with("MODEL_"));
    let targetids = table.ints("TARGETID");
    let numbers = table.ints("FIBER");
    // Without TARGETID it is a file of 2016, whose redshifts are those of the spectrograph.
    let sign = if targetids.is_some() { 1.0 } else { -1.0 };
    let fiber = |row: usize| numbers.as_ref().map_or_else(|| fibers.get(row).copied().unwrap_or(-1), |f| f[row] as i32);
    (0..table.nrows())
        .map(|row| StarFit {
            targetid: targetids.as_ref().map_or(-1, |t| t[row]),
            fiber: fiber(row),
            logg: number("LOGG", row),
            teff: number("TEFF", row),
            feh: number("FEH", row),
            chi2dof: number("CHI2DOF", row),
            redshift: sign * number("REDSHIFT", row),
            data_color: number(data_color, row),
            model_color: number(model_color, row),
            snr: SNR.map(|name| number(name, row)),
        })
        .collect()
}

fn read_inputs(table: &Table) -> Vec<(i64, i64, String)> {
    let (Some(nights), Some(expids), Some(cameras)) =
        (table.ints("NIGHT"), table.ints("EXPID"), table.strings("CAMERA"))
    else {
        return vec![];
    };
    nights.into_iter().zip(expids).zip(cameras).map(|((n, e), c)| (n, e, c.clone())).collect()
}
