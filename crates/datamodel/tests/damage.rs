//! Damaged and unsuitable files: the error names the file, the HDU and what is wrong, and nothing panics.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use datamodel::fits::{FitsReader, FitsWriter};
use datamodel::*;
use ndarray::Array2;
use std::path::{Path, PathBuf};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn frame(&self) -> PathBuf {
        let path = self.file("frame-r0-00051060.fits");
        frame().write(&path).unwrap();
        path
    }
}

/// The message of the error, which must name the file and have all these parts.
fn says<T>(result: Result<T>, path: &Path, parts: &[&str]) -> Error {
    let Err(error) = result else { panic!("no error for {}", path.display()) };
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in '{text}'");
    }
    error
}

#[test]
fn absent_unreadable_and_foreign_files() {
    let folder = Folder::new();
    let path = folder.file("nowhere/frame.fits");
    assert!(matches!(says(Frame::read(&path), &path, &["no such file"]), Error::Missing { .. }));
    let path = folder.0.path();
    assert!(matches!(says(Frame::read(path), path, &["cannot", "directory"]), Error::Io { .. }));
    let path = folder.file("empty.fits");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(says(Frame::read(&path), &path, &["the file is empty"]), Error::Fits { .. }));
    for content in ["SIMPLE", "no FITS file at all", "SIMPLE  =                    T", &"x".repeat(10_000)] {
        std::fs::write(&path, content).unwrap();
        assert!(matches!(says(Frame::read(&path), &path, &["cannot read: "]), Error::Fits { .. }), "{content}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.frame()).unwrap();
    let path = folder.file("cut.fits");
    for n in (1..whole.len()).step_by(997).chain([2880, 5760, 5760 + 2879, whole.len() - 2880, whole.len() - 1]) {
        std::fs::write(&path, &whole[..n]).unwrap();
        let error = says(Frame::read(&path), &path, &[]);
        assert!(
            matches!(error, Error::Fits { .. } | Error::MissingHdu { .. }),
            "{n} of {} bytes: {error}",
            whole.len()
        );
    }
    std::fs::write(&path, &whole[..9000]).unwrap();
    says(Frame::read(&path), &path, &["[IVAR]", "the file is truncated: it has 9000 of"]);
    std::fs::write(&path, &whole[..5760 + 300]).unwrap();
    says(Frame::read(&path), &path, &["truncated in the header of the HDU after FLUX"]);
    std::fs::write(&path, &whole[..5760]).unwrap();
    says(Frame::read(&path), &path, &["HDU WAVELENGTH is missing; the file has FLUX"]);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.frame()).unwrap();
    let path = folder.file("flipped.fits");
    // In the padding, too, and in comments.
    for at in (80..bytes.len()).step_by(1499) {
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        says(Frame::read(&path), &path, &[]);
        bytes[at] ^= 4;
    }
    // A datum of FLUX, whose data fill the block before the next HDU.
    let next = bytes.windows(8).position(|w| w == b"XTENSION").unwrap();
    bytes[next - 2880 + 101] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = says(Frame::read(&path), &path, &["[FLUX]: DATASUM does not match the data: the file is damaged"]);
    assert!(matches!(error, Error::Checksum { .. }));
}

/// A frame with one HDU replaced or, for `None`, left out.
fn patched(path: &Path, hdu: &str, patch: impl Fn(&mut FitsWriter) -> Result<()>) {
    let f = frame();
    let mut w = FitsWriter::create(path).unwrap();
    let none = Header::new();
    for name in ["FLUX", "IVAR", "MASK", "WAVELENGTH", "RESOLUTION", "FIBERMAP"] {
        match name {
            _ if name == hdu => patch(&mut w),
            "FLUX" => w.image(name, f.flux.view(), &f.header),
            "IVAR" => w.image(name, f.ivar.view(), &none),
            "MASK" => w.image(name, f.mask.view(), &none),
            "WAVELENGTH" => w.image(name, ndarray::ArrayView1::from(&f.wave), &none),
            "RESOLUTION" => w.image(name, f.resolution.view(), &none),
            _ => w.table(name, &f.fibermap.table, &none),
        }
        .unwrap();
    }
    w.finish().unwrap();
}

#[test]
fn absent_and_misshaped_hdus() {
    let folder = Folder::new();
    let path = folder.file("frame.fits");
    let none = Header::new();
    for hdu in ["IVAR", "WAVELENGTH", "RESOLUTION"] {
        patched(&path, hdu, |_| Ok(()));
        let error =
            says(Frame::read(&path), &path, &[&format!("HDU {hdu} is missing; the file has FLUX, "), "FIBERMAP"]);
        assert!(matches!(error, Error::MissingHdu { .. }));
    }
    let f = frame();
    patched(&path, "IVAR", |w| w.image("IVAR", f.ivar.slice(ndarray::s![..3, ..]), &none));
    says(Frame::read(&path), &path, &["[IVAR]: shape: expected [4, 30], found [3, 30]"]);
    patched(&path, "IVAR", |w| w.image("IVAR", ndarray::ArrayView1::from(&f.wave), &none));
    says(Frame::read(&path), &path, &["[IVAR]: shape: expected 2 dimensions, found [30]"]);
    patched(&path, "IVAR", |w| w.table("IVAR", &f.fibermap.table, &none));
    says(Frame::read(&path), &path, &["[IVAR]: type: expected an image, found a table"]);
    patched(&path, "WAVELENGTH", |w| w.image("WAVELENGTH", ndarray::ArrayView1::from(&f.wave[1..]), &none));
    says(Frame::read(&path), &path, &["shape: expected [4, 29], found [4, 30]"]);
    let mut wave = f.wave.clone();
    wave.swap(3, 4);
    patched(&path, "WAVELENGTH", |w| w.image("WAVELENGTH", ndarray::ArrayView1::from(&wave), &none));
    says(Frame::read(&path), &path, &["[WAVELENGTH]: values: expected ascending wavelengths, found 5762.4 after"]);
    patched(&path, "RESOLUTION", |w| w.image("RESOLUTION", f.resolution.slice(ndarray::s![.., ..4, ..]), &none));
    says(
        Frame::read(&path),
        &path,
        &["[RESOLUTION]: shape: expected [4, an odd number of diagonals, 30], found [4, 4, 30]"],
    );
    patched(&path, "FIBERMAP", |w| w.table("FIBERMAP", &fibermap(7).table, &none));
    says(Frame::read(&path), &path, &["[FIBERMAP]: rows: expected 4, found 7"]);
    patched(&path, "FIBERMAP", |w| w.image("FIBERMAP", f.flux.view(), &none));
    says(Frame::read(&path), &path, &["[FIBERMAP]: type: expected a table, found an image"]);
}

#[test]
fn numbers_that_are_none() {
    let folder = Folder::new();
    let path = folder.file("frame.fits");
    let none = Header::new();
    let planes = |f: fn(&mut Frame)| {
        let mut frame = frame();
        f(&mut frame);
        frame
    };
    // Without information it is 0, on reading and on writing.
    let f = planes(|f| (f.flux[(1, 2)], f.ivar[(1, 2)], f.resolution[(1, 0, 2)]) = (f32::NAN, 0.0, f32::NAN));
    f.write(&path).unwrap();
    let back = Frame::read(&path).unwrap();
    assert_eq!((back.flux[(1, 2)], back.resolution[(1, 0, 2)], back.flux[(1, 3)]), (0.0, 0.0, f.flux[(1, 3)]));
    // With information it is an error on writing; on reading the bin loses its weight and no other does.
    let whole = frame();
    let masked = |at: (usize, usize)| {
        let mut back = Frame::read(&path).unwrap();
        assert_eq!((back.ivar[at], back.mask[at] & mask::spec::NODATA), (0.0, mask::spec::NODATA), "{at:?}");
        assert!(back.flux.iter().chain(&back.resolution).all(|x| x.is_finite()));
        (back.flux[at], back.ivar[at], back.mask[at]) = (whole.flux[at], whole.ivar[at], whole.mask[at]);
        assert!(back.flux == whole.flux && back.ivar == whole.ivar && back.mask == whole.mask, "{at:?}");
    };
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        let mut ivar = frame().ivar;
        ivar[(3, 29)] = value;
        patched(&path, "IVAR", |w| w.image("IVAR", ivar.view(), &none));
        masked((3, 29));
        says(
            Frame { ivar, ..frame() }.write(&path),
            &path,
            &[&format!("[IVAR]: values: expected finite inverse variances >= 0, found {value} at (3, 29)")],
        );
    }
    let f = planes(|f| f.resolution[(2, 3, 7)] = f32::NAN);
    patched(&path, "RESOLUTION", |w| w.image("RESOLUTION", f.resolution.view(), &none));
    masked((2, 7));
    says(
        f.write(&path),
        &path,
        &["[RESOLUTION]: values: expected finite numbers where ivar > 0, found NaN at (2, 3, 7)"],
    );
    let f = planes(|f| f.flux[(0, 0)] = f32::NAN);
    patched(&path, "FLUX", |w| w.image("FLUX", f.flux.view(), &none));
    masked((0, 0));
    says(f.write(&path), &path, &["[FLUX]: values: expected finite numbers where ivar > 0, found NaN at (0, 0)"]);
}

#[test]
fn a_psf_filled_with_nans() {
    let folder = Folder::new();
    let path = folder.file("psf-r0-00051060.fits");
    let whole = psf();
    whole.write(&path).unwrap();
    let mut sick = whole.clone();
    sick.parameters.get_mut("GHSIGY").unwrap().fill(f64::NAN);
    says(sick.write(&path), &path, &["[PSF]: row GHSIGY: expected finite numbers, found NaN in element 0"]);
    assert_eq!(GaussHermitePsf::read(&path).unwrap().x, whole.x, "the old file is left as it was");
    // As another program would write it.
    let mut reader = FitsReader::open(&path).unwrap();
    let (header, psf_header, table) =
        (reader.header("XTRACE").unwrap(), reader.header("PSF").unwrap(), reader.table("PSF").unwrap());
    let write = |x: &Array2<f64>, table: &Table, psf_header: &Header| {
        let mut w = FitsWriter::create(&path).unwrap();
        w.image("XTRACE", x.view(), &header).unwrap();
        w.image("YTRACE", whole.y.coeff.view(), &header).unwrap();
        w.table("PSF", table, psf_header).unwrap();
        w.finish().unwrap();
    };
    write(&Array2::from_elem((50, 7), f64::NAN), &table, &psf_header);
    says(GaussHermitePsf::read(&path), &path, &["[XTRACE]: values: expected finite numbers, found NaN in element 0"]);
    let mut nans = table.clone();
    let coeff = table.column("COEFF").unwrap();
    nans.set_column(Column { data: ColumnData::F64(vec![f64::NAN; coeff.data.len()]), ..coeff.clone() });
    write(&whole.x.coeff, &nans, &psf_header);
    says(GaussHermitePsf::read(&path), &path, &["[PSF]: row", "expected finite numbers, found NaN"]);
    let mut bare = psf_header.clone();
    bare.remove("GHDEGX");
    write(&whole.x.coeff, &table, &bare);
    says(GaussHermitePsf::read(&path), &path, &["[PSF]: keyword GHDEGX: expected an integer, found nothing"]);
    write(&whole.x.coeff.slice(ndarray::s![..49, ..]).to_owned(), &table, &psf_header);
    says(GaussHermitePsf::read(&path), &path, &["[YTRACE]: rows: expected 49, found 50"]);
}

#[test]
fn another_product() {
    let folder = Folder::new();
    let path = folder.file("fiberflat-r0-00051060.fits");
    fiberflat().write(&path).unwrap();
    says(Sky::read(&path), &path, &["HDU SKY is missing; the file has FIBERFLAT, IVAR, MASK, MEANSPEC, WAVELENGTH"]);
    says(Frame::read(&path), &path, &["HDU FLUX is missing"]);
    says(Spectra::read(&path), &path, &["HDU B_FLUX, R_FLUX or Z_FLUX is missing"]);
    says(GaussHermitePsf::read(&path), &path, &["is missing"]);
}

#[test]
fn the_wrong_camera() {
    let path = Path::new("frame-b0-00051060.fits");
    let f = frame();
    check_camera(&f.header, path, "FLUX", "r0".parse().unwrap()).unwrap();
    let wrong = check_camera(&f.header, path, "FLUX", "b0".parse().unwrap());
    says(wrong, path, &["[FLUX]: keyword CAMERA: expected b0, found r0"]);
    says(
        check_camera(&Header::new(), path, "FLUX", "b0".parse().unwrap()),
        path,
        &["keyword CAMERA: expected a string, found nothing"],
    );
    // A raw HDU whose header is another camera's.
    let folder = Folder::new();
    let path = folder.file("desi.fits.fz");
    let mut header = Header::new();
    header.set("CAMERA", "b0", "");
    let mut w = FitsWriter::create(&path).unwrap();
    w.compressed("R0", Array2::<i32>::zeros((5, 5)).view(), &header).unwrap();
    w.image("Z0", Array2::<f32>::zeros((5, 5)).view(), &Header::new()).unwrap();
    w.finish().unwrap();
    says(
        RawExposure::read_camera(&path, "r0".parse().unwrap()),
        &path,
        &["[R0]: keyword CAMERA: expected r0, found b0"],
    );
    says(
        RawExposure::read_camera(&path, "z0".parse().unwrap()),
        &path,
        &["[Z0]: type: expected integers, found floating-point numbers"],
    );
}

#[test]
fn grids_that_differ() {
    let (a, b) = (Path::new("frame.fits"), Path::new("sky.fits"));
    let grid = wave();
    let f4: Vec<f64> = grid.iter().map(|&w| f64::from(w as f32)).collect();
    check_same_wavelengths((a, &grid), (b, &f4)).unwrap();
    let shifted: Vec<f64> = grid.iter().map(|w| w + 0.002).collect();
    let parts = [
        "[WAVELENGTH]: values: expected the grid of frame.fits, 30 bins from 5760.000 to 5783.200 Angstrom, found 30 bins from 5760.002",
    ];
    says(check_same_wavelengths((a, &grid), (b, &shifted)), b, &parts);
    says(check_same_wavelengths((a, &grid), (b, &grid[1..])), b, &["found 29 bins"]);
}

#[test]
fn a_failed_or_abandoned_write_leaves_the_old_file() {
    let folder = Folder::new();
    let path = folder.frame();
    let before = std::fs::read(&path).unwrap();
    let mut w = FitsWriter::create(&path).unwrap();
    w.image("FLUX", frame().flux.view(), &Header::new()).unwrap();
    drop(w);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
    // A file stands where a folder is needed.
    let below = path.join("frame.fits");
    assert!(matches!(says(frame().write(&below), &below, &["cannot create the folder of"]), Error::Io { .. }));
    let error = says(
        Image { header: Header::new(), ..image() }.write(&path),
        &path,
        &["[IMAGE]: keyword CAMERA: expected a camera, found nothing"],
    );
    assert!(matches!(error, Error::Invalid { .. }));
    let mut raw = raw();
    raw.cameras.values_mut().next().unwrap().adu[(1, 1)] = 70_000;
    says(raw.write(&path), &path, &["[B0]: values: expected 0 to 65535 ADU, found 70000"]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
