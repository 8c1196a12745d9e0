//! The layouts of 2016 are read as if they were today's.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use datamodel::fits::FitsWriter;
use datamodel::*;
use ndarray::{Array2, Array3, ArrayView1};
use std::path::PathBuf;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
    fits: FitsWriter,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.fits");
        Self { fits: FitsWriter::create(&path).unwrap(), path, _folder: folder }
    }
    /// Finishes the file and reads it.
    fn read<T>(self, read: impl Fn(&std::path::Path) -> Result<T>) -> T {
        self.fits.finish().unwrap();
        read(&self.path).unwrap()
    }
}

fn none() -> Header {
    Header::new()
}

fn strings(width: usize, values: &[&str]) -> ColumnData {
    ColumnData::Str { width, values: values.iter().map(|s| s.to_string()).collect() }
}

#[test]
fn an_image_with_rdnoise_and_a_compressed_mask() {
    let i = image();
    for width in [16, 32] {
        let mut file = File::new();
        let mut header = i.header.clone();
        header.set("RDNOISE", 2.9, "");
        file.fits.image("IMAGE", i.pix.mapv(f64::from).view(), &header).unwrap();
        file.fits.image("IVAR", i.ivar.view(), &none()).unwrap();
        match width {
            16 => file.fits.compressed("MASK", i.mask.mapv(|m| m as i16).view(), &none()).unwrap(),
            _ => file.fits.compressed("MASK", i.mask.view(), &none()).unwrap(),
        }
        let found = file.read(Image::read);
        assert!((found.pix, found.ivar, found.mask) == (i.pix.clone(), i.ivar.clone(), i.mask.clone()));
        assert!(found.readnoise.iter().all(|&r| r == 2.9));
    }
}

#[test]
fn a_frame_with_f4_wavelengths_and_fibermin() {
    let f = frame();
    let mut file = File::new();
    let mut header = f.header.clone();
    header.set("FIBERMIN", 1500, "").set("BUNIT", "photon/bin", "");
    file.fits.image("FLUX", f.flux.view(), &header).unwrap();
    file.fits.image("IVAR", f.ivar.view(), &none()).unwrap();
    file.fits.compressed("MASK", f.mask.view(), &none()).unwrap();
    let f4: Vec<f32> = f.wave.iter().map(|&w| w as f32).collect();
    file.fits.image("WAVELENGTH", ArrayView1::from(&f4), &none()).unwrap();
    file.fits.image("RESOLUTION", f.resolution.mapv(f64::from).view(), &none()).unwrap();
    let found = file.read(Frame::read);
    assert_eq!(found.fibermap.fibers(), [1500, 1501, 1502, 1503]);
    assert_eq!(found.header.str("BUNIT"), Some("electron/Angstrom"));
    assert!(found.resolution == f.resolution && found.mask == f.mask && found.scores.is_none());
    check_same_wavelengths(("a".as_ref(), &f.wave), ("b".as_ref(), &found.wave)).unwrap();
}

#[test]
fn a_brick_of_one_band_without_mask() {
    let f = frame();
    let mut file = File::new();
    let mut header = Header::new();
    header.set("CHANNEL", "r", "").set("BRICKNAM", "1500p020", "");
    file.fits.image("FLUX", f.flux.mapv(f64::from).view(), &header).unwrap();
    file.fits.image("IVAR", f.ivar.mapv(f64::from).view(), &none()).unwrap();
    file.fits.image("WAVELENGTH", ArrayView1::from(&f.wave), &none()).unwrap();
    file.fits.image("RESOLUTION", f.resolution.mapv(f64::from).view(), &none()).unwrap();
    file.fits.table("FIBERMAP", &f.fibermap.table, &none()).unwrap();
    let found = file.read(Spectra::read);
    assert_eq!(found.header.str("BRICKNAM"), Some("1500p020"));
    let r = &found.bands[&Band::R];
    assert_eq!(found.bands.len(), 1);
    assert!((&r.flux, &r.ivar, &r.wave, &r.resolution) == (&f.flux, &f.ivar, &f.wave, &f.resolution));
    assert!(r.mask.iter().all(|&m| m == 0));
}

#[test]
fn spectra_without_mask_and_resolution() {
    let f = frame();
    let mut file = File::new();
    file.fits.table("FIBERMAP", &f.fibermap.table, &none()).unwrap();
    file.fits.image("Z_WAVELENGTH", ArrayView1::from(&f.wave), &none()).unwrap();
    file.fits.image("Z_FLUX", f.flux.view(), &none()).unwrap();
    file.fits.image("Z_IVAR", f.ivar.view(), &none()).unwrap();
    let z = file.read(Spectra::read).bands.remove(&Band::Z).unwrap();
    assert_eq!(z.resolution, Array3::<f32>::ones((NSPEC, 1, NWAVE)));
    assert_eq!(z.mask, Array2::<u32>::zeros((NSPEC, NWAVE)));
}

#[test]
fn a_fibermap_with_magnitudes() {
    let mut t = Table::new();
    t.set("OBJTYPE", "", strings(10, &["STD", "SKY", "QSO"]));
    t.set("TARGETID", "", ColumnData::I64(vec![1, 2, 3]));
    let mag = ColumnData::F32([20.0, 19.5, 19.0, 0.0, 0.0].repeat(3));
    t.set_column(Column { name: "MAG".into(), unit: String::new(), shape: vec![5], data: mag });
    let filters = ["DECAM_G", "DECAM_R", "DECAM_Z", "WISE1", "WISE2"].map(|f| format!("{f:<10}")).concat();
    t.set("FILTER", "", strings(50, &[&filters, &filters, &filters]));
    t.set("FIBER", "", ColumnData::I32(vec![0, 1, 2]));
    let mut file = File::new();
    file.fits.table("FIBERMAP", &t, &none()).unwrap();
    let found = file.read(Fibermap::read);
    let flux = found.table.floats("FLUX_R").unwrap();
    assert!((flux[0] - 10f64.powf(0.4 * 3.0)).abs() < 1e-5);
    assert_eq!((found.is_standard(), found.is_sky()), (vec![true, false, false], vec![false, true, false]));
}

#[test]
fn stars_with_2016s_metadata() {
    let s = stdstars();
    let mut file = File::new();
    file.fits.image("FLUX", s.flux.view(), &none()).unwrap();
    file.fits.image("WAVELENGTH", ArrayView1::from(&s.wave), &none()).unwrap();
    file.fits.image("FIBERS", ArrayView1::from(&s.fibers), &none()).unwrap();
    let mut t = Table::new();
    t.set("BESTMODEL", "", ColumnData::I64(vec![5, 6])).set("TEMPLATEID", "", ColumnData::I64(vec![5, 6]));
    t.set("CHI2DOF", "", ColumnData::F64(vec![1.0, 1.5])).set("REDSHIFT", "", ColumnData::F64(vec![1e-4, -2e-4]));
    file.fits.table("METADATA", &t, &none()).unwrap();
    let found = file.read(StdStars::read);
    assert_eq!(found.stars.iter().map(|s| (s.fiber, s.redshift)).collect::<Vec<_>>(), [(0, -1e-4), (2, 2e-4)]);
    assert_eq!(found.coeff.dim(), (2, 0));
}

#[test]
fn redshifts_of_redmonster() {
    let mut t = Table::new();
    t.set("BRICKNAME", "", strings(8, &["1500p020", "1500p020"])).set("TARGETID", "", ColumnData::I64(vec![7, 8]));
    t.set("Z", "", ColumnData::F64(vec![0.5, 2.1])).set("ZERR", "", ColumnData::F64(vec![1e-4, 2e-4]));
    t.set("ZWARN", "", ColumnData::I64(vec![0, 4])).set("SPECTYPE", "", strings(20, &["GALAXY", "QSO"]));
    let mut file = File::new();
    file.fits.table("ZBEST", &t, &none()).unwrap();
    let found = file.read(Zbest::read);
    assert_eq!(found.redshifts[1].spectype, "QSO");
    assert_eq!((found.redshifts[1].z, found.redshifts[1].zwarn, found.redshifts[1].coeff.len()), (2.1, 4, 0));
    assert_eq!(found.fibermap.targetids(), [7, 8]);
}

#[test]
fn an_early_redrock_file_with_a_row_an_exposure() {
    let z = zbest();
    let mut t = Table::new();
    t.set("TARGETID", "", ColumnData::I64(z.redshifts.iter().map(|r| r.targetid).collect()));
    t.set("Z", "", ColumnData::F64(vec![0.1; NSPEC]));
    let rows = fibermap(NSPEC).select(&[3, 0, 1, 2, 1, 0]);
    let mut file = File::new();
    file.fits.table("ZBEST", &t, &none()).unwrap();
    file.fits.table("FIBERMAP", &rows.table, &none()).unwrap();
    assert_eq!(file.read(Zbest::read).fibermap.fibers(), [0, 1, 2, 3]);
}

/// PSFVER 2: traces are rows of the table, each row has its range.
#[test]
fn a_psf_of_version_2() {
    let today = psf();
    let on = |min: f64, max: f64, c: [f64; 3]| (min, max, c);
    let rows = [
        ("X", on(5543.0, 7826.0, [200.0, 10.0, 0.1])),
        ("Y", on(5543.0, 7826.0, [2000.0, 1900.0, 5.0])),
        ("GHSIGX", on(5600.0, 7700.0, [1.1, 0.05, 0.01])),
        ("GHSIGY", on(5500.0, 7800.0, [1.2, 0.06, 0.02])),
        ("GH-0-0", on(5600.0, 7700.0, [1.0, 0.7, 0.7])),
        ("GH-1-0", on(5600.0, 7700.0, [0.02, 0.0, 0.0])),
    ];
    let nfiber = 3;
    let mut t = Table::new();
    t.set("PARAM", "", strings(10, &rows.map(|r| r.0)));
    t.set("WAVEMIN", "", ColumnData::F64(rows.iter().map(|r| r.1.0).collect()));
    t.set("WAVEMAX", "", ColumnData::F64(rows.iter().map(|r| r.1.1).collect()));
    let coeff = ColumnData::F64(rows.iter().flat_map(|r| r.1.2.repeat(nfiber)).collect());
    t.set_column(Column { name: "COEFF".into(), unit: String::new(), shape: vec![nfiber, 3], data: coeff });
    let mut header = today.header.clone();
    for (key, value) in
        [("PSFVER", 2), ("NPIX_X", 4114), ("NPIX_Y", 4128), ("GHDEGX", 1), ("GHDEGY", 0), ("HSIZEX", 8), ("HSIZEY", 5)]
    {
        header.set(key, value, "");
    }
    let mut file = File::new();
    file.fits.empty_primary(&header).unwrap();
    file.fits.table("", &t, &none()).unwrap();
    let found = file.read(GaussHermitePsf::read);
    assert_eq!((found.x.coeff.row(2).to_vec(), found.x.wavemin), (vec![200.0, 10.0, 0.1], 5543.0));
    assert_eq!((found.wavemin, found.wavemax), (5600.0, 7700.0));
    assert_eq!(found.parameters["GH-0-0"].row(1).to_vec(), [1.0, 0.0, 0.0]);
    assert_eq!((found.npix, found.ghdeg, found.camera()), ((4128, 4114), (1, 0), today.camera()));
    for wave in [5650.0, 6400.0, 7650.0] {
        let u = |min, max| numerics::legendre::reduced(wave, min, max);
        let sigma = numerics::legendre::evaluate(&found.parameters["GHSIGY"].row(1).to_vec(), u(5600.0, 7700.0));
        let truth = numerics::legendre::evaluate(&[1.2, 0.06, 0.02], u(5500.0, 7800.0));
        assert!((sigma - truth).abs() < 1e-12, "{wave}: {sigma} {truth}");
    }
}

#[test]
fn raw_data_that_inherit_from_the_primary() {
    let mut file = File::new();
    let mut exposure = Header::new();
    exposure.set("EXPID", 2, "").set("FLAVOR", "arc", "").set("GAIN1", 9.0, "the camera's counts");
    file.fits.empty_primary(&exposure).unwrap();
    let mut camera = Header::new();
    camera.set("CAMERA", "R0", "").set("GAIN1", 1.1, "");
    let adu = Array2::from_shape_fn((20, 30), |(y, x)| (y * x) as i32 - 40);
    file.fits.compressed("R0", adu.view(), &camera).unwrap();
    let found = file.read(|path| RawExposure::read_camera(path, Camera::new(Band::R, 0)));
    assert_eq!(found.adu, adu);
    assert_eq!(
        (found.header.float("GAIN1"), found.header.int("EXPID"), found.header.str("CAMERA")),
        (Some(1.1), Some(2), Some("r0"))
    );
}
