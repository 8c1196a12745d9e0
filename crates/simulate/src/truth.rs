//! The truth of a night, beside the raw data: what was simulated, for tests and scores.

use crate::{
    camera::{CameraModel, Light},
    detector::Detector,
    fibermap::Fiber,
};
use datamodel::{ColumnData, Header, Result, Table, fits::FitsWriter};
use ndarray::{Array1, Array2, ArrayView1};
use std::path::Path;

/// Magnitude that stands for no light.
const NO_MAGNITUDE: f64 = 99.0;

/// Writes `truth-EXPID.fits`: the targets.
pub fn write_targets(path: &Path, fibers: &[Fiber], header: &Header) -> Result<()> {
    let mut file = FitsWriter::create(path)?;
    file.empty_primary(header)?;
    file.table("TRUTH", &targets(fibers), &Header::new())?;
    file.finish()
}

fn targets(fibers: &[Fiber]) -> Table {
    let mut table = Table::new();
    let strings =
        |width, value: &dyn Fn(&Fiber) -> String| ColumnData::Str { width, values: fibers.iter().map(value).collect() };
    table.set("TARGETID", "", ColumnData::I64(fibers.iter().map(|f| f.target.targetid).collect()));
    table.set("FIBER", "", ColumnData::I32(fibers.iter().map(|f| f.fiber).collect()));
    table.set("TRUETYPE", "", strings(8, &|f| f.target.spectype.clone()));
    table.set("TRUESUBTYPE", "", strings(20, &|f| f.target.subtype.clone()));
    table.set("CLASS", "", strings(8, &|f| f.target.class.name().to_string()));
    table.set("TRUEZ", "", ColumnData::F64(fibers.iter().map(|f| f.target.z).collect()));
    for (i, name) in ["MAG_G", "MAG_R", "MAG_Z"].into_iter().enumerate() {
        let mag = |f: &Fiber| if f.target.mags[i].is_finite() { f.target.mags[i] } else { NO_MAGNITUDE };
        table.set(name, "mag", ColumnData::F64(fibers.iter().map(mag).collect()));
    }
    table.set("EBV", "mag", ColumnData::F64(fibers.iter().map(|f| f.target.ebv).collect()));
    table.set("DEAD", "", ColumnData::Bool(fibers.iter().map(|f| f.dead).collect()));
    table
}

/// Writes `spectra-CAMERA-EXPID.fits`: the noiseless spectra of a camera.
pub fn write_spectra(path: &Path, model: &CameraModel, light: &Light, header: &Header) -> Result<()> {
    let mut file = FitsWriter::create(path)?;
    file.empty_primary(header)?;
    let none = Header::new();
    file.image("WAVELENGTH", Array1::from(model.grid.waves()).view(), &none)?;
    file.image("ELECTRONS", light.density.mapv(|v| v as f32).view(), &unit("electron/Angstrom"))?;
    file.image("THROUGHPUT", model.fibers.mapv(|v| v as f32).view(), &none)?;
    if !light.lines.is_empty() {
        let waves: Vec<f64> = light.lines.iter().map(|l| l.wave).collect();
        let electrons =
            Array2::from_shape_fn((model.fibers.nrows(), waves.len()), |(f, l)| light.lines[l].electrons[f] as f32);
        file.image("LINE_WAVELENGTH", Array1::from(waves).view(), &unit("Angstrom"))?;
        file.image("LINE_ELECTRONS", electrons.view(), &unit("electron"))?;
    }
    if !light.sky.is_empty() {
        file.image("SKY", ArrayView1::from(&light.sky), &unit("electron/Angstrom"))?;
        file.image("CALIBRATION", ArrayView1::from(&light.calibration), &unit("10**+17 cm2 electron s / erg"))?;
        file.image("FLUX", light.flux.mapv(|v| v as f32).view(), &unit("10**-17 erg/(s cm2 Angstrom)"))?;
    }
    file.finish()
}

/// Writes `image-CAMERA-EXPID.fits`: the expected electrons of every pixel.
pub fn write_image(path: &Path, light: &Array2<f64>, header: &Header) -> Result<()> {
    let mut file = FitsWriter::create(path)?;
    let mut header = header.clone();
    header.set("BUNIT", "electron", "expected electrons");
    file.image("IMAGE", light.mapv(|v| v as f32).view(), &header)?;
    file.finish()
}

/// Writes `mask-CAMERA.fits`: the known defects of a CCD, as bits of a pix file's mask.
pub fn write_mask(path: &Path, detector: &Detector) -> Result<()> {
    let mut file = FitsWriter::create(path)?;
    file.image("MASK", detector.mask.mapv(|m| m as i32).view(), &Header::new())?;
    file.finish()
}

/// Writes `dark-CAMERA.fits`: the dark current of each pixel.
pub fn write_dark(path: &Path, detector: &Detector) -> Result<()> {
    let mut file = FitsWriter::create(path)?;
    file.image("DARK", detector.dark.view(), &unit("electron/s"))?;
    file.finish()
}

fn unit(text: &str) -> Header {
    let mut header = Header::new();
    header.set("BUNIT", text, "unit");
    header
}
