//! Stars of known atmosphere and velocity behind an unknown calibration, with the built-in models.

use calibrate::testing::{Instrument, fibermap_of, frame_of};
use datamodel::{ColumnData, Frame, mask::target};
use stdstars::{Error, Params, candidates, photometry::System, run};
use templates::{StarGrid, dust, filters};

const NWAVE: usize = 2250;
const EBV: f64 = 0.05;

/// One model, redshifted and reddened, in 1e-17 erg/s/cm2/Angstrom for r = `mag`, at the models' wavelengths.
fn star(grid: &StarGrid, k: usize, z: f64, mag: f64) -> Vec<f64> {
    let rest: Vec<f64> = grid.flux.row(k).to_vec();
    let observed = |w: &f64| numerics::interp::linear(w / (1.0 + z), &grid.wave, &rest) * dust::transmission(EBV, *w);
    let flux: Vec<f64> = grid.wave.iter().map(observed).collect();
    let scale = 10f64.powf(0.4 * (filters::DECAM_R.ab_magnitude(&grid.wave, &flux).unwrap_or(0.0) - mag));
    flux.iter().map(|f| f * scale).collect()
}

/// A b frame of standard stars of these models; a calibration that no model knows of.
fn scene(grid: &StarGrid, stars: &[(usize, f64)], mag: f64) -> Frame {
    arm(grid, stars, mag, "b0", 4000.0)
}

/// The same of any camera, from a wavelength on.
fn arm(grid: &StarGrid, stars: &[(usize, f64)], mag: f64, camera: &str, from: f64) -> Frame {
    let mut instrument = Instrument::new(stars.len(), NWAVE, 11);
    instrument.wave.iter_mut().for_each(|w| *w += from - 4000.0);
    let spectra: Vec<Vec<f64>> = stars.iter().map(|&(k, z)| star(grid, k, z, mag)).collect();
    let counts = |flux: &Vec<f64>| -> Vec<f64> {
        let binned = numerics::resample::resample_flux(&instrument.wave, &grid.wave, flux);
        binned.iter().enumerate().map(|(j, f)| f * (20.0 + 8.0 * (j as f64 / 700.0).sin())).collect()
    };
    let mut frame = frame_of(&instrument, &spectra.iter().map(counts).collect::<Vec<_>>(), 10.0, 4);
    frame.header.set("CAMERA", camera, "");
    frame.fibermap = fibermap_of(&vec!["TGT"; stars.len()]);
    let flux = |filter: &filters::Filter| -> ColumnData {
        let nmgy = |f: &Vec<f64>| 10f64.powf(0.4 * (22.5 - filter.ab_magnitude(&grid.wave, f).unwrap_or(99.0)));
        ColumnData::F32(spectra.iter().map(|f| nmgy(f) as f32).collect())
    };
    frame.fibermap.table.set("FLUX_G", "", flux(&filters::DECAM_G)).set("FLUX_R", "", flux(&filters::DECAM_R));
    frame.fibermap.table.set("EBV", "", ColumnData::F32(vec![EBV as f32; stars.len()]));
    frame.fibermap.table.set("DESI_TARGET", "", ColumnData::I64(vec![target::STD_BRIGHT; stars.len()]));
    frame
}

fn node(grid: &StarGrid, teff: f64, logg: f64, feh: f64) -> usize {
    (0..grid.teff.len()).find(|&k| (grid.teff[k], grid.logg[k], grid.feh[k]) == (teff, logg, feh)).unwrap_or(0)
}

#[test]
fn atmosphere_velocity_and_flux_are_recovered() {
    let grid = StarGrid::builtin();
    let truth = [(6000.0, 4.0, -1.5, 3e-4), (6500.0, 4.0, -0.5, -5e-4), (7000.0, 4.0, -1.0, 1e-4)];
    let stars: Vec<(usize, f64)> = truth.iter().map(|&(t, g, m, z)| (node(&grid, t, g, m), z)).collect();
    let frame = scene(&grid, &stars, 16.5);
    let fitted = run(candidates::collect(&[frame]), &grid, &Params::default()).unwrap();
    assert_eq!(fitted.fibers, [0, 1, 2]);
    for (k, (&(teff, _, feh, z), &(model, _))) in truth.iter().zip(&stars).enumerate() {
        let star_fit = &fitted.stars[k];
        assert!((star_fit.teff - teff).abs() < 100.0, "Teff {} for {teff}", star_fit.teff);
        assert!((star_fit.feh - feh).abs() < 0.3, "[Fe/H] {} for {feh}", star_fit.feh);
        // 10 km/s
        assert!((star_fit.redshift - z).abs() < 3.3e-5, "z {} for {z}", star_fit.redshift);
        let expected = star(&grid, model, z, 16.5);
        for range in [4000.0, 5000.0, 7000.0, 9000.0] {
            let bins = grid.wave.partition_point(|w| *w < range)..grid.wave.partition_point(|w| *w < range + 100.0);
            let sum = |f: &dyn Fn(usize) -> f64| bins.clone().map(f).sum::<f64>();
            let ratio = sum(&|j| f64::from(fitted.flux[(k, j)])) / sum(&|j| expected[j]);
            assert!((ratio - 1.0).abs() < 0.03, "star {k} at {range}: {ratio}");
        }
        assert!((fitted.coeff.row(k).iter().sum::<f64>()) > 0.0);
    }
}

#[test]
fn what_is_no_standard_star_is_told() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6000.0, 4.0, -1.0), 0.0); 4];
    let mut frame = scene(&grid, &stars, 17.0);
    // one without photometry, one of an impossible colour, one broken, one too faint
    let change = |frame: &mut Frame, name: &str, row: usize, value: f32| {
        let mut v = frame.fibermap.table.floats(name).unwrap();
        v[row] = f64::from(value);
        frame.fibermap.table.set(name, "", ColumnData::F32(v.iter().map(|&x| x as f32).collect()));
    };
    change(&mut frame, "FLUX_R", 0, 0.0);
    change(&mut frame, "FLUX_G", 1, 0.01);
    frame.fibermap.table.set("FIBERSTATUS", "", ColumnData::I32(vec![0, 0, 1 << 2, 0]));
    frame.ivar.row_mut(3).mapv_inplace(|w| w * 1e-6);
    let error = run(candidates::collect(&[frame.clone()]), &grid, &Params::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no standard star can be fitted: 4 fibres have the target bits of one; of these 1 have a bad FIBERSTATUS or no data, \
         1 have neither FLUX_G and FLUX_R nor magnitudes of Gaia, 1 are too faint, 1 have a colour that no model has"
    );
    frame.fibermap.table.set("DESI_TARGET", "", ColumnData::I64(vec![0; 4]));
    let rows = candidates::star_rows(&frame.fibermap);
    let none = candidates::collect(&[calibrate::testing::frame_rows(&frame, &rows)]);
    assert!(matches!(run(none, &grid, &Params::default()), Err(Error::NoStar { labelled: 0, .. })));
}

/// Without DECam fluxes Gaia's magnitudes tell colour and brightness, of that star alone.
#[test]
fn gaia_stands_in_where_the_imaging_is_missing() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6500.0, 4.0, -1.0), 2e-4); 2];
    let mut frame = scene(&grid, &stars, 16.5);
    let truth = star(&grid, stars[0].0, 2e-4, 16.5);
    for (band, filter) in [filters::GAIA_G, filters::GAIA_BP, filters::GAIA_RP].iter().enumerate() {
        let mag = filter.ab_magnitude(&grid.wave, &truth).unwrap() - filters::GAIA_TO_AB[band];
        let name = format!("GAIA_PHOT_{}_MEAN_MAG", ["G", "BP", "RP"][band]);
        frame.fibermap.table.set(&name, "mag", ColumnData::F32(vec![mag as f32, 0.0]));
    }
    for band in ["FLUX_G", "FLUX_R"] {
        let mut flux = frame.fibermap.table.floats(band).unwrap();
        flux[0] = 0.0;
        frame.fibermap.table.set(band, "", ColumnData::F64(flux));
    }
    let found = candidates::collect(&[frame]);
    assert_eq!(found.stars[0].photometry.system, System::Gaia);
    assert_eq!(found.stars[1].photometry.system, System::South);
    let fitted = run(found, &grid, &Params::default()).unwrap();
    for k in 0..2 {
        for range in [4000.0, 5500.0, 7000.0, 9000.0] {
            let bins = grid.wave.partition_point(|w| *w < range)..grid.wave.partition_point(|w| *w < range + 100.0);
            let sum = |f: &dyn Fn(usize) -> f64| bins.clone().map(f).sum::<f64>();
            let ratio = sum(&|j| f64::from(fitted.flux[(k, j)])) / sum(&|j| truth[j]);
            assert!((ratio - 1.0).abs() < 0.03, "star {k} at {range}: {ratio}");
        }
    }
}

/// Of PHOTSYS N the fluxes are those of BASS and MzLS, star by star.
#[test]
fn northern_fluxes_have_their_own_bands() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6000.0, 4.0, -1.5), 3e-4); 2];
    let mut frame = scene(&grid, &stars, 16.5);
    let truth = star(&grid, stars[0].0, 3e-4, 16.5);
    for (south, north) in
        [(filters::DECAM_G, filters::BASS_G), (filters::DECAM_R, filters::BASS_R), (filters::DECAM_Z, filters::MZLS_Z)]
    {
        let flux = [north, south].map(|f| 10f64.powf(0.4 * (22.5 - f.ab_magnitude(&grid.wave, &truth).unwrap())));
        frame.fibermap.table.set(&format!("FLUX_{}", south.name), "", ColumnData::F64(flux.to_vec()));
    }
    let systems = ["N", "S"].map(String::from).to_vec();
    frame.fibermap.table.set("PHOTSYS", "", ColumnData::Str { width: 1, values: systems });
    let found = candidates::collect(&[frame]);
    let [north, south] = [0, 1].map(|k| found.stars[k].photometry.system);
    assert_eq!((north, south), (System::North, System::South));
    // g - r differs by 0.03 between the surveys, which the models' colours must follow
    let [n, s] = [0, 1].map(|k| found.stars[k].photometry.color);
    assert!((n - s).abs() > 0.01, "{n} {s}");
    let fitted = run(found, &grid, &Params::default()).unwrap();
    for (k, star) in fitted.stars.iter().enumerate() {
        assert!((star.data_color - star.model_color).abs() < 0.01, "{} {}", star.data_color, star.model_color);
        for range in (3700..9700).step_by(100).map(f64::from) {
            let bins = grid.wave.partition_point(|w| *w < range)..grid.wave.partition_point(|w| *w < range + 100.0);
            let sum = |f: &dyn Fn(usize) -> f64| bins.clone().map(f).sum::<f64>();
            let ratio = sum(&|j| f64::from(fitted.flux[(k, j)])) / sum(&|j| truth[j]);
            assert!((ratio - 1.0).abs() < 0.02, "star {k} at {range}: {ratio}");
        }
    }
}

/// A quasar and a galaxy among the standards, both of a star's colour and brightness: their lines give them away.
#[test]
fn what_is_no_star_is_left_out() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6500.0, 4.0, -1.0), 0.0); 6];
    let mut frame = scene(&grid, &stars, 16.5);
    let line = |w: f64, at: f64, width: f64| (-0.5 * ((w - at) / width).powi(2)).exp();
    for (j, &w) in frame.wave.clone().iter().enumerate() {
        // the noise stays that of the star: what is compared is the shape
        let quasar = (1.0 + 1.5 * line(w, 4600.0, 60.0) + 0.8 * line(w, 5200.0, 50.0)) * (w / 5000.0).powf(-1.0);
        let galaxy = (w / 5000.0).powf(0.5) * if w < 4700.0 { 0.6 } else { 1.0 } * (1.0 - 0.3 * line(w, 4800.0, 8.0));
        let level = f64::from(frame.flux[(0, 1000)]);
        for (row, shape) in [(2, quasar), (4, galaxy)] {
            let noise = f64::from(frame.flux[(row, j)]) - f64::from(frame.flux[(5, j)]);
            frame.flux[(row, j)] = (level * shape + noise / 2f64.sqrt()) as f32;
        }
    }
    let fitted = run(candidates::collect(&[frame]), &grid, &Params::default()).unwrap();
    let chi2: Vec<f64> = fitted.stars.iter().map(|s| s.chi2dof).collect();
    assert_eq!(fitted.fibers, [0, 1, 3, 5], "chi2 {chi2:?}");
}

/// An arm is missing: the stars are fitted with the others, and their models cover the one that is not there.
#[test]
fn any_arm_may_be_missing() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6000.0, 4.0, -1.5), 3e-4), (node(&grid, 6500.0, 4.0, -0.5), -5e-4)];
    let [b, r, z] = [("b0", 3600.0), ("r0", 5760.0), ("z0", 7520.0)].map(|(c, w)| arm(&grid, &stars, 16.5, c, w));
    // the redder the bluest arm, the less there is to tell the atmosphere by: the colour must do
    for (frames, tolerance) in
        [(vec![b.clone(), r.clone()], 0.03), (vec![b, z.clone()], 0.03), (vec![r, z.clone()], 0.05), (vec![z], 0.08)]
    {
        let arms: Vec<_> = frames.iter().filter_map(|f| f.header.str("CAMERA")).map(String::from).collect();
        let fitted = run(candidates::collect(&frames), &grid, &Params::default()).unwrap();
        assert_eq!(fitted.fibers, [0, 1], "{arms:?}");
        for (k, &(model, redshift)) in stars.iter().enumerate() {
            let expected = star(&grid, model, redshift, 16.5);
            for range in [3900.0, 5000.0, 6500.0, 9000.0] {
                let bins = grid.wave.partition_point(|w| *w < range)..grid.wave.partition_point(|w| *w < range + 100.0);
                let sum = |f: &dyn Fn(usize) -> f64| bins.clone().map(f).sum::<f64>();
                let ratio = sum(&|j| f64::from(fitted.flux[(k, j)])) / sum(&|j| expected[j]);
                assert!((ratio - 1.0).abs() < tolerance, "{arms:?} star {k} at {range}: {ratio}");
            }
        }
    }
}

/// A star whose colour is not that of its own lines (variable, blended, behind a cloud of dust) is left out while there are
/// others, and kept where it is one of three; one far off is no star.
#[test]
fn a_colour_that_no_model_of_the_lines_has_is_told() {
    let grid = StarGrid::builtin();
    let stars = [(node(&grid, 6500.0, 4.0, -1.0), 0.0); 6];
    let mut frame = scene(&grid, &stars, 16.5);
    let mut blue = frame.fibermap.table.floats("FLUX_G").unwrap();
    blue[1] *= 1.15;
    frame.fibermap.table.set("FLUX_G", "", ColumnData::F64(blue));
    let few = calibrate::testing::frame_rows(&frame, &[0, 1, 2]);
    // a galaxy whose lines lead far from its colour is none of however few
    let mut blue = frame.fibermap.table.floats("FLUX_G").unwrap();
    blue[3] *= 1.35;
    frame.fibermap.table.set("FLUX_G", "", ColumnData::F64(blue));
    let [two, one] = [&[0, 3][..], &[3]].map(|rows| {
        let found = candidates::collect(&[calibrate::testing::frame_rows(&frame, rows)]);
        run(found, &grid, &Params::default()).map(|stars| stars.fibers).map_err(|e| e.to_string())
    });
    assert_eq!(two, Ok(vec![0]));
    assert!(one.unwrap_err().contains("1 have a colour that no model has"));
    let [all, few] = [frame, few].map(|f| run(candidates::collect(&[f]), &grid, &Params::default()).unwrap().fibers);
    assert_eq!(all, [0, 2, 4, 5]);
    assert_eq!(few, [0, 1, 2]);
}

/// What bends between the knots of the free calibration, as atmosphere and mirrors do towards the ultraviolet, is no Balmer jump.
#[test]
fn a_calibration_that_bends_does_not_change_the_balmer_jump() {
    let grid = StarGrid::builtin();
    let nodes =
        [(6000.0, 4.0, -1.5), (6500.0, 3.5, -0.5), (6500.0, 4.0, -1.0), (7000.0, 4.0, -0.5), (7000.0, 4.5, -1.5)];
    let stars: Vec<(usize, f64)> = nodes.iter().map(|&(t, g, m)| (node(&grid, t, g, m), 1e-4)).collect();
    let mut frame = arm(&grid, &stars, 13.0, "b0", 3600.0);
    for (j, w) in frame.wave.iter().enumerate() {
        let bend = (1.0 - (-(w - 3400.0) / 700.0).exp()) as f32;
        for k in 0..stars.len() {
            frame.flux[(k, j)] *= bend;
            frame.ivar[(k, j)] /= bend * bend;
        }
    }
    let fitted = run(candidates::collect(&[frame]), &grid, &Params::default()).unwrap();
    assert_eq!(fitted.fibers.len(), stars.len());
    let jump = |flux: &dyn Fn(usize) -> f64| {
        let mean = |from: f64, to: f64| {
            let bins = grid.wave.partition_point(|w| *w < from)..grid.wave.partition_point(|w| *w < to);
            bins.clone().map(flux).sum::<f64>() / bins.len() as f64
        };
        mean(3600.0, 3680.0) / mean(4200.0, 5000.0)
    };
    let off: Vec<f64> = (0..stars.len())
        .map(|k| {
            let expected = star(&grid, stars[k].0, stars[k].1, 13.0);
            jump(&|j| f64::from(fitted.flux[(k, j)])) / jump(&|j| expected[j]) - 1.0
        })
        .collect();
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    assert!(mean.abs() < 0.004 && off.iter().all(|o| o.abs() < 0.015), "{off:?}");
}
