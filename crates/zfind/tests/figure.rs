//! `desi_zfind plot`: what is drawn is what the files say.

#![allow(clippy::unwrap_used)]

mod common;

use common::synthetic::{Width, desi_zfind, spectra, templates, write_raw, write_template, write_templates};
use std::path::PathBuf;

struct Folder(tempfile::TempDir);

impl Folder {
    /// Spectra of targets 1, 2 (without data) and 3, and their redshifts and details.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("t")).unwrap();
        write_templates(&folder.path("t"));
        let mut s = spectra(&[1, 2, 3]);
        s.bands.values_mut().for_each(|b| b.ivar.row_mut(1).fill(0.0));
        write_raw(&s, &folder.path("s.fits"), Width::Usual, &[]);
        let text = |name| folder.text(name);
        let (code, log) =
            desi_zfind(&["-i", &text("s.fits"), "-o", &text("z.fits"), "-t", &text("t"), "--details", &text("d.fits")]);
        assert_eq!(code, Some(0), "{log}");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn plot(&self, target: &str, more: &[&str]) -> (Option<i32>, String) {
        let paths = ["z.fits", "s.fits", "f.svg", "t"].map(|n| self.text(n));
        let [z, s, f, t] = paths.each_ref().map(String::as_str);
        let mut arguments = vec!["plot", z, s, "-o", f, "--targetid", target];
        if !more.contains(&"-t") {
            arguments.extend(["-t", t]);
        }
        arguments.extend(more);
        desi_zfind(&arguments)
    }

    fn figure(&self, target: &str, more: &[&str]) -> String {
        let (code, log) = self.plot(target, more);
        assert_eq!(code, Some(0), "{log}");
        std::fs::read_to_string(self.path("f.svg")).unwrap()
    }
}

/// Value of an attribute of an element.
fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    element.split(&format!(" {name}=\"")).nth(1).and_then(|s| s.split('"').next()).unwrap_or("")
}

/// Texts of the figure: x, y, content.
fn texts(svg: &str) -> Vec<(f64, f64, String)> {
    let elements = svg.lines().filter(|l| l.starts_with("<text"));
    let content = |l: &str| l.split('>').nth(1).unwrap().split('<').next().unwrap().to_string();
    elements.map(|l| (attribute(l, "x").parse().unwrap(), attribute(l, "y").parse().unwrap(), content(l))).collect()
}

/// Curves of a colour as points.
fn curves(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
    let mine = svg.lines().filter(|l| l.contains(&format!("polyline stroke=\"{colour}\"")));
    let number = |s: &str| s.parse::<f64>().unwrap();
    let points = |l: &str| {
        let pairs = attribute(l, "points").split_whitespace();
        pairs.map(|p| p.split_once(',').map(|(x, y)| (number(x), number(y))).unwrap()).collect()
    };
    mine.map(points).collect()
}

/// Every element that is opened is closed, in order.
fn is_well_formed(svg: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1).map(|t| t.split('>').next().unwrap()) {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) if open.pop() != Some(name) => return false,
            (false, false) => open.push(name),
            _ => {}
        }
    }
    open.is_empty()
}

/// The straight line through the marks of an axis: value of a pixel.
fn scale(marks: &[(f64, f64)]) -> impl Fn(f64) -> f64 + use<> {
    let ((p0, v0), (p1, v1)) = (marks[0], marks[marks.len() - 1]);
    move |pixel| v0 + (pixel - p0) * (v1 - v0) / (p1 - p0)
}

#[test]
fn the_model_lies_on_the_true_spectrum_and_the_lines_at_their_wavelengths() {
    let folder = Folder::new();
    let svg = folder.figure("3", &[]);
    assert!(is_well_formed(&svg));
    let all = texts(&svg);
    let title = &all[0].2;
    assert!(title.starts_with("target 3: GALAXY, z = ") && title.ends_with("ZWARN 0"), "{title}");
    let z: f64 = title.split(['=', '±']).nth(1).unwrap().trim().parse().unwrap();
    assert!((z - 0.1).abs() < 3e-5, "{z}");
    let numbers = |keep: &dyn Fn(f64, f64) -> bool, of: &dyn Fn(f64, f64) -> f64| -> Vec<(f64, f64)> {
        let marks = all.iter().filter(|t| keep(t.0, t.1));
        marks.filter_map(|t| Some((of(t.0, t.1), t.2.parse().ok()?))).collect()
    };
    // marks of the upper panel: wavelengths 17 pixels below it, fluxes 6 to its left and 4 below their place
    let wave = scale(&numbers(&|_, y| (y - 501.0).abs() < 0.1, &|x, _| x));
    let flux = scale(&numbers(&|x, y| (x - 84.0).abs() < 0.1 && y < 500.0, &|_, y| y - 4.0));
    let truth = |w: f64| {
        let line = |l: f64| (-0.5 * ((w / 1.1 - l) / 4.0).powi(2)).exp();
        2.0 + 9.0 * [4000.0, 4900.0, 5100.0].iter().map(|l| line(*l)).sum::<f64>()
    };
    let model: Vec<(f64, f64)> = curves(&svg, "black").concat();
    assert!(model.len() > 700, "{}", model.len());
    for (x, y) in &model {
        // a tenth of a pixel is 0.2 Angstrom and 0.003 in flux
        let (w, f) = (wave(*x), flux(*y));
        let near = [-0.4, 0.0, 0.4].map(|d| truth(w + d));
        let (low, high) = near.iter().fold((f64::INFINITY, 0.0f64), |(l, h), t| (l.min(*t), h.max(*t)));
        assert!(f > low - 0.06 && f < high + 0.06, "{w}: {f} {near:?}");
    }
    // the raw data scatter about it: 0.2 (uniform), rms 0.115
    let raw: Vec<(f64, f64)> = ["#c6d8f0", "#f3cccc"].iter().flat_map(|c| curves(&svg, c)).flatten().collect();
    let quiet = raw.iter().map(|(x, y)| (wave(*x), flux(*y))).filter(|(w, _)| *w < 4300.0);
    let residuals: Vec<f64> = quiet.map(|(w, f)| f - truth(w)).collect();
    let rms = (residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len() as f64).sqrt();
    assert!((rms - 0.115).abs() < 0.02, "{rms}");
    for (name, rest) in [("Hβ", 4862.7), ("Hγ", 4341.7), ("[O II]", 3728.5), ("Mg b", 5176.6)] {
        let label = all.iter().find(|t| t.2 == name).unwrap();
        assert!((wave(label.0) - rest * 1.1).abs() < 0.5, "{name} {}", wave(label.0));
    }
    assert!(!all.iter().any(|t| t.2 == "Hα"));
}

#[test]
fn minima_are_marked_and_those_of_the_details_are_the_same() {
    let folder = Folder::new();
    let new = folder.figure("1", &[]);
    let old = folder.figure("1", &["--details", &folder.text("d.fits")]);
    let circles = |svg: &str| svg.matches("<circle").count();
    assert!(circles(&new) >= 4 && circles(&new) == circles(&old));
    assert!(texts(&new).iter().any(|t| t.2.starts_with("0: GALAXY 0.1000")));
    assert_eq!(texts(&new), texts(&old));
    // the best is at the bottom: no other circle is lower
    let heights: Vec<f64> =
        new.lines().filter(|l| l.starts_with("<circle")).map(|l| attribute(l, "cy").parse().unwrap()).collect();
    assert!(heights[1..].iter().all(|h| *h < heights[0]), "{heights:?}");
}

#[test]
fn a_target_without_data_is_drawn_without_model() {
    let folder = Folder::new();
    let svg = folder.figure("2", &[]);
    assert!(is_well_formed(&svg) && curves(&svg, "black").is_empty());
    let all = texts(&svg);
    assert!(all[0].2.contains("NODATA") && all[1].2.contains("no fit"), "{all:?}");
    assert!(all.iter().any(|t| t.2.contains("nothing has been fitted")));
}

#[test]
fn common_options_may_follow_plot() {
    let folder = Folder::new();
    assert_eq!(folder.figure("2", &["--threads", "1"]), folder.figure("2", &[]));
}

#[test]
fn what_is_missing_is_told_and_an_old_figure_kept() {
    let folder = Folder::new();
    std::fs::write(folder.path("f.svg"), "old").unwrap();
    let refuses = |target: &str, more: &[&str], code: i32, told: &str| {
        let (found, log) = folder.plot(target, more);
        assert!(found == Some(code) && log.contains(told) && !log.contains("panicked"), "{told}: {log}");
        assert_eq!(std::fs::read_to_string(folder.path("f.svg")).unwrap(), "old");
    };
    refuses("4", &[], 1, "z.fits: it does not hold target 4");
    write_raw(&spectra(&[1]), &folder.path("s.fits"), Width::Usual, &[]);
    refuses("3", &[], 1, "s.fits: it does not hold target 3");
    write_raw(&spectra(&[1, 2, 3]), &folder.path("s.fits"), Width::Usual, &[]);
    std::fs::create_dir(folder.path("q")).unwrap();
    write_template(&templates()[1], &folder.path("q/rrtemplate-QSO.fits"));
    refuses("3", &["-t", &folder.text("q")], 1, "give --templates of the fit");
    refuses("3", &["--details", &folder.text("z.fits")], 1, "TARGETS");
    refuses("3", &["--details", &folder.text("absent.fits")], 3, "absent.fits");
    let (code, log) = desi_zfind(&["plot", &folder.text("z.fits")]);
    assert!(code == Some(2) && log.contains("--targetid"), "{log}");
    let left = std::fs::read_dir(folder.0.path())
        .unwrap()
        .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0);
}
