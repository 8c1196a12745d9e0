//! A whole night of the mini instrument, from raw frames to redshifts, against its truth.

// the helpers of a test may fail it
#![allow(clippy::unwrap_used, clippy::panic)]

use datamodel::{Band, Camera, Fiberflat, Frame, GaussHermitePsf, Image, Sky, Table, fits::FitsReader};
use endtoend::{Production, files, moments, stderr, stdout, succeed};
use numerics::{resample, robust};
use psf::Psf;
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

const NIGHT: &str = "20260214";

/// The production that all tests of this file look at, made once.
fn production() -> &'static Production {
    static PRODUCTION: OnceLock<(tempfile::TempDir, Production)> = OnceLock::new();
    let (_, production) = PRODUCTION.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let production = Production::simulate(folder.path(), NIGHT, &["--seed", "5", "--raw", "--truth-images"]);
        let (code, said) = production.run_all();
        assert_eq!(code, Some(0), "{said}\n{}", stdout(&production.status("all")));
        (folder, production)
    });
    production
}

fn cameras() -> impl Iterator<Item = Camera> {
    Band::ALL.into_iter().map(|band| Camera::new(band, 0))
}

/// TRUTH of a science exposure.
fn truth_table(expid: &str) -> Table {
    FitsReader::open(&production().truth(&format!("truth-{expid}.fits"))).unwrap().table("TRUTH").unwrap()
}

/// The science exposures, from their sky models.
fn science(camera: Camera) -> Vec<String> {
    let prefix = format!("sky-{camera}-");
    let name = |p: PathBuf| p.file_stem().unwrap().to_string_lossy().replace(&prefix, "");
    production().products(&prefix).into_iter().map(name).collect()
}

fn product(kind: &str, camera: Camera, expid: &str) -> PathBuf {
    production().products(&format!("/{kind}-{camera}-{expid}.fits")).remove(0)
}

/// Rows of live sky fibres.
fn sky_rows(expid: &str) -> Vec<usize> {
    let truth = truth_table(expid);
    let (types, dead) = (truth.strings("TRUETYPE").unwrap(), truth.ints("DEAD").unwrap());
    (0..types.len()).filter(|&i| types[i].trim() == "SKY" && dead[i] == 0).collect()
}

/// The noiseless spectra of a camera: wavelengths and `[fibre, wave]` of an HDU (one row for a common spectrum).
fn truth_spectra(camera: Camera, expid: &str, hdu: &str) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut file = FitsReader::open(&production().truth(&format!("spectra-{camera}-{expid}.fits"))).unwrap();
    let wave = file.vector("WAVELENGTH").unwrap().to_vec();
    let values = file.image_f64(hdu).unwrap();
    let rows = values.iter().copied().collect::<Vec<f64>>().chunks(wave.len()).map(<[f64]>::to_vec).collect();
    (wave, rows)
}

#[test]
fn every_task_is_done_and_a_second_run_runs_none() {
    let production = production();
    let states = production.states();
    for (step, counts) in states.as_object().unwrap() {
        let counts = counts.as_object().unwrap();
        assert!(counts.iter().all(|(state, n)| state == "done" || n == 0), "{step}: {counts:?}");
    }
    let ages = |p: &PathBuf| (p.clone(), std::fs::metadata(p).unwrap().modified().unwrap());
    let before: Vec<(PathBuf, SystemTime)> = production.products("").iter().map(ages).collect();
    let attempts = production.attempts();
    let (code, said) = production.run_all();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(production.attempts(), attempts, "{said}");
    let after: Vec<(PathBuf, SystemTime)> = production.products("").iter().map(ages).collect();
    assert_eq!(before, after);
    let leftovers: Vec<PathBuf> =
        files(&production.path).into_iter().filter(|p| p.extension().is_some_and(|e| e == "tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn traces_and_wavelengths_are_those_of_the_truth() {
    for camera in cameras() {
        let psfnight = production().products(&format!("/psfnight-{camera}.fits")).remove(0);
        let fitted = Psf::new(GaussHermitePsf::read(&psfnight).unwrap()).unwrap();
        let truth =
            Psf::new(GaussHermitePsf::read(&production().truth(&format!("psf-{camera}.fits"))).unwrap()).unwrap();
        let dead = truth_table(&science(camera)[0]).ints("DEAD").unwrap();
        let (first, last, _) = camera.band.extraction_grid();
        let waves: Vec<f64> = (0..=40).map(|i| first + (last - first) * f64::from(i) / 40.0).collect();
        let (mut dx, mut dwave) = (vec![], vec![]);
        for fiber in (0..truth.nfiber()).filter(|&f| dead[f] == 0) {
            for &wave in &waves {
                dx.push(fitted.x(fiber, wave) - truth.x(fiber, wave));
                dwave.push(fitted.wavelength(fiber, truth.y(fiber, wave)) - wave);
            }
        }
        let rms = |v: &[f64]| (v.iter().map(|d| d * d).sum::<f64>() / v.len() as f64).sqrt();
        println!("{camera}: x rms {:.4} pixel, wavelength rms {:.4} Angstrom", rms(&dx), rms(&dwave));
        assert!(rms(&dx) < 0.05, "{camera}: x rms {} pixel", rms(&dx));
        assert!(rms(&dwave) < 0.05, "{camera}: wavelength rms {} Angstrom", rms(&dwave));
    }
}

/// The frame of a science exposure extracted from its noiseless image, with the weights of the real one.
fn noiseless(camera: Camera, expid: &str, folder: &Path) -> Frame {
    let mut image = Image::read(&product("pix", camera, expid)).unwrap();
    let truth = production().truth(&format!("image-{camera}-{expid}.fits"));
    image.pix = FitsReader::open(&truth).unwrap().plane("0").unwrap();
    let (pix, frame) = (folder.join("pix.fits"), folder.join("frame.fits"));
    image.write(&pix).unwrap();
    let psf = production().products(&format!("/psfnight-{camera}.fits")).remove(0);
    let paths = [&pix, &psf, &frame].map(|p| p.to_string_lossy().into_owned());
    succeed("desi_extract", &["-i", &paths[0], "-p", &paths[1], "-o", &paths[2]]);
    Frame::read(&frame).unwrap()
}

#[test]
fn extracted_sky_fibres_pull_as_their_errors_say() {
    for camera in cameras() {
        let (mut pulls, mut continuum) = (vec![], vec![]);
        for expid in science(camera) {
            let frame = Frame::read(&product("frame", camera, &expid)).unwrap();
            let expected = noiseless(camera, &expid, tempfile::tempdir().unwrap().path());
            let (wave, electrons) = truth_spectra(camera, &expid, "ELECTRONS");
            for row in sky_rows(&expid) {
                let truth = resample::rebin(&frame.wave, &wave, &electrons[row]);
                let through_r = frame.resolution_of(row).apply(&truth);
                let smooth = robust::median(&truth).unwrap() * 1.5;
                let ivar = frame.good_ivar(row);
                for i in (10..ivar.len() - 10).filter(|&i| ivar[i] > 0.0) {
                    let flux = f64::from(frame.flux[(row, i)]);
                    pulls.push((flux - f64::from(expected.flux[(row, i)])) * ivar[i].sqrt());
                    // between the lines averaging over bins does no harm, and R x truth is what should come out; it broadens a
                    // line by a bin or two
                    let clear = through_r[i - 2..=i + 2].iter().all(|t| *t < smooth);
                    continuum.extend(clear.then(|| (flux - through_r[i]) * ivar[i].sqrt()));
                }
            }
        }
        for (what, pulls) in [("all bins", pulls), ("continuum, against R x truth", continuum)] {
            let (mean, width) = moments(&pulls);
            println!("{camera}, {what}: {} pulls, mean {mean:.4}, width {width:.4}", pulls.len());
            assert!(mean.abs() < 0.05, "{camera}, {what}: mean of the pulls {mean}");
            assert!((width - 1.0).abs() < 0.03, "{camera}, {what}: width of the pulls {width}");
        }
    }
}

#[test]
fn the_sky_is_subtracted_to_the_noise() {
    for camera in cameras() {
        let mut pulls = vec![];
        for expid in science(camera) {
            let frame = Frame::read(&product("frame", camera, &expid)).unwrap();
            let flat_path = production().products(&format!("/fiberflat-{camera}-")).pop().unwrap();
            let flat = Fiberflat::read(&flat_path).unwrap();
            let sky = Sky::read(&product("sky", camera, &expid)).unwrap();
            let residual = &frame.flux / &flat.fiberflat - &sky.sky;
            for row in sky_rows(&expid) {
                for (i, w) in frame.good_ivar(row).iter().enumerate() {
                    let usable = flat.mask[(row, i)] == 0 && sky.mask[(row, i)] == 0 && *w > 0.0;
                    let of_frame = 1.0 / (w * f64::from(flat.fiberflat[(row, i)]).powi(2));
                    // the sky of a sky fibre is that of the others: its own error adds
                    let sigma = (of_frame + 1.0 / f64::from(sky.ivar[(row, i)])).sqrt();
                    pulls.extend(usable.then(|| f64::from(residual[(row, i)]) / sigma));
                }
            }
        }
        let (mean, width) = moments(&pulls);
        println!("{camera}: {} sky residuals, mean {mean:.4}, width {width:.4} of the noise", pulls.len());
        assert!((0.95..1.05).contains(&width), "{camera}: sky residuals {width} of the noise");
    }
}

#[test]
fn calibrated_fluxes_are_those_of_the_truth() {
    let mut ratios = vec![];
    for camera in cameras() {
        for expid in science(camera) {
            let cframe = Frame::read(&product("cframe", camera, &expid)).unwrap();
            let (wave, truth) = truth_spectra(camera, &expid, "FLUX");
            let table = truth_table(&expid);
            let (mags, dead) = (table.floats("MAG_R").unwrap(), table.ints("DEAD").unwrap());
            for row in (0..mags.len()).filter(|&i| mags[i] < 19.5 && dead[i] == 0) {
                let expected = cframe.resolution_of(row).apply(&resample::rebin(&cframe.wave, &wave, &truth[row]));
                let ivar = cframe.good_ivar(row);
                let inside = |i: &usize| ivar[*i] > 0.0 && (4000.0..9500.0).contains(&cframe.wave[*i]);
                let ratio = |i| (cframe.wave[i], f64::from(cframe.flux[(row, i)]) / expected[i]);
                ratios.extend((0..ivar.len()).filter(inside).map(ratio));
            }
        }
    }
    for start in (4000..9500).step_by(500) {
        let (a, b) = (f64::from(start), f64::from(start) + 500.0);
        let part: Vec<f64> = ratios.iter().filter(|r| (a..b).contains(&r.0)).map(|r| r.1).collect();
        let median = robust::median(&part).unwrap();
        println!("{a}-{b}: flux / truth {median:.4}");
        assert!((median - 1.0).abs() < 0.05, "{a}-{b} Angstrom: flux / truth {median}");
    }
}

#[test]
fn nine_of_ten_bright_targets_get_the_right_redshift() {
    let production = production();
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let output = endtoend::run(
        "desi_score",
        [
            "--truth".as_ref(),
            production.raw.join("truth").as_os_str(),
            "--production".as_ref(),
            production.path.as_os_str(),
            "--outfile".as_ref(),
            summary.as_os_str(),
        ],
    );
    println!("{}", stdout(&output));
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}
