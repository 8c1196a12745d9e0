//! What makes products stale, and what takes them away: overrides, ancillary files, damage, desi_pipe invalidate and
//! verify.

// helpers of tests may fail like tests
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::World;
use common::fits::{header, padded};
use std::fs;

fn stale(world: &World) -> u32 {
    world.count("stale")
}

#[test]
fn an_override_that_fits_no_task_is_named() {
    let world = World::small();
    let about = |step: &str, camera: &str| {
        format!(
            "[[override]]\nstep = '{step}'\ncamera = '{camera}'\nauthor = 'A'\nreason = 'B'\noptions = {{level = 2}}\n"
        )
    };
    let text = format!("# notes\n{}\n{}", about("sky", "r0"), about("sky", "r7"));
    fs::write(world.prod("run/overrides.toml"), text).unwrap();
    for (program, arguments) in
        [("desi_pipe", &[][..]), ("desi_pipe_status", &["all", "--json"]), ("desi_pipe_run", &["--dry-run"])]
    {
        let output = world.output(program, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("warning")).collect();
        let sentence = "overrides.toml: line 9: the override (sky, camera r7) fits no task";
        assert!(output.status.success() && warnings.len() == 1 && warnings[0].ends_with(sentence), "{program}: {said}");
    }
}

#[test]
fn an_override_touches_its_tasks_only() {
    let world = World::small();
    world.run(&[]);
    let path = world.prod("run/overrides.toml");
    let text = "[[override]]\nstep = 'sky'\nexpid = '00000003'\ncamera = ['r0']\nauthor = 'A. N. Other'\nreason = 'clouds'\noptions = {level = 2}\n";
    fs::write(&path, text).unwrap();
    let (state, reason) = world.state("sky-r0-00000003");
    assert!(state == "stale" && reason.contains("now --level 2"), "{state}: {reason}");
    assert_eq!(world.counts()["sky"]["stale"], 1);
    let (code, runs) = world.run(&[]);
    assert_eq!(code, 0);
    assert!(
        runs.contains(&"desi_sky sky-r0-00000003".into()) && !runs.iter().any(|run| run.ends_with("-00000004")),
        "{runs:?}"
    );
    let sky = fs::read_to_string(world.prod("exposures/20260101/00000003/sky-r0-00000003.fits")).unwrap();
    assert!(sky.contains("--level\n2\n"), "{sky}");
    assert_eq!(stale(&world), 0);
    // taken back
    fs::remove_file(&path).unwrap();
    assert_eq!(world.counts()["sky"]["stale"], 1);
    fs::write(&path, text.replace("author = 'A. N. Other'\n", "")).unwrap();
    let output = world.output("desi_pipe_status", &["all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("author"));
}

#[test]
fn calibration_images_and_templates_count() {
    let world = World::new();
    world.night("20260101", &[("arc", 1), ("flat", 2)], &["b0"]);
    world.night("20260101", &[("science", 3)], &[]);
    fs::write(world.raw("20260101", "desi-00000003.fits.fz"), common::fits::raw_exposure(&["b0", "r0"])).unwrap();
    world.pipe(&[]);
    assert_eq!(world.run(&[]).0, 0);
    let calib = world.root.join("raw/calib");
    fs::create_dir(&calib).unwrap();
    fs::write(calib.join("bias-r0.fits"), "one").unwrap();
    assert_eq!(world.counts()["preproc"]["stale"], 1);
    let (state, reason) = world.state("pix-r0-00000003");
    assert!(state == "stale" && reason.contains("bias-r0.fits"), "{state}: {reason}");
    world.run(&[]);
    assert_eq!(stale(&world), 0);
    fs::write(calib.join("bias-r0.fits"), "another").unwrap();
    assert_eq!(world.state("pix-r0-00000003").0, "stale");
    assert_eq!(world.state("pix-b0-00000003").0, "done");
    fs::remove_file(calib.join("bias-r0.fits")).unwrap();
    assert_eq!(world.state("pix-r0-00000003").0, "stale");
    world.run(&[]);
    // a folder that an option names
    let templates = world.root.join("my templates");
    fs::create_dir(&templates).unwrap();
    fs::write(templates.join("galaxy.fits"), "one").unwrap();
    let options = world.prod("run/options.yaml");
    let text = fs::read_to_string(&options).unwrap();
    fs::write(&options, text.replace("zfind: {}", &format!("zfind: {{templates: \"{}\"}}", templates.display())))
        .unwrap();
    world.run(&[]);
    assert_eq!(stale(&world), 0);
    fs::write(templates.join("star.fits"), "two").unwrap();
    assert!(world.counts()["zfind"]["stale"] > 0 && stale(&world) == world.counts()["zfind"]["stale"]);
}

#[test]
fn the_variable_of_the_templates_counts() {
    let world = World::small();
    let folder = world.root.join("templates");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("galaxy.fits"), "one").unwrap();
    let with = |program: &str, arguments: &[&str]| {
        let output = world.command(program, arguments).env("RR_TEMPLATE_DIR", &folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    with("desi_pipe_run", &[]);
    assert!(!with("desi_pipe_status", &["all"]).contains("stale"));
    // without it the built-in templates would be taken
    assert_eq!(world.counts()["zfind"]["stale"], 3);
    fs::write(folder.join("galaxy.fits"), "two!").unwrap();
    assert!(with("desi_pipe_status", &["step", "zfind"]).contains("galaxy.fits changed since"));
}

#[test]
fn invalidated_products_go_to_the_attic() {
    let world = World::small();
    world.run(&[]);
    let sky = world.prod("exposures/20260101/00000003/sky-b0-00000003.fits");
    let text = world.ok("desi_pipe", &["invalidate", "sky", "b0", "expid=3"]);
    assert!(
        text.contains("1 products would be moved") && text.contains("20260101_sky-b0-00000003") && sky.exists(),
        "{text}"
    );
    let text = world.ok("desi_pipe", &["invalidate", "sky-b0-*3", "--yes"]);
    assert!(text.contains("1 products moved"), "{text}");
    assert!(!sky.exists() && world.prod("attic/1/exposures/20260101/00000003/sky-b0-00000003.fits").exists());
    assert!(fs::read_to_string(world.prod("attic/1/why.txt")).unwrap().contains("invalidate sky-b0-*3"));
    assert_eq!(world.state("sky-b0-00000003").0, "ready");
    // stdstars and what follows of its three cameras, and the bricks of the exposure
    assert_eq!(stale(&world), 1 + 3 + 3 + 2 + 2);
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(world.count("done"), 47);
    let output = world.output("desi_pipe", &["invalidate", "sky", "b7"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn damaged_products_are_found_and_made_anew() {
    let world = World::small();
    world.run(&[]);
    let flipped = world.prod("exposures/20260101/00000003/frame-b0-00000003.fits");
    let cut = world.prod("bricks/A/zbest-A.fits");
    let whole = [fs::read(&flipped).unwrap(), fs::read(&cut).unwrap()];
    // a bit flips on the disk: neither size nor time tell
    let time = fs::metadata(&flipped).unwrap().modified().unwrap();
    let mut bytes = whole[0].clone();
    bytes[10] ^= 1;
    fs::write(&flipped, &bytes).unwrap();
    fs::File::options().append(true).open(&flipped).unwrap().set_modified(time).unwrap();
    fs::write(&cut, &whole[1][..20]).unwrap();
    let output = world.output("desi_pipe", &["verify", "--dry-run"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("frame-b0-00000003.fits: damaged") && text.contains("2 damaged, 45 as recorded"), "{text}");
    assert_eq!(world.output("desi_pipe", &["verify"]).status.code(), Some(1));
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!([fs::read(&flipped).unwrap(), fs::read(&cut).unwrap()], whole);
    assert!(world.ok("desi_pipe", &["verify"]).starts_with("0 damaged, 47 as recorded"));
}

#[test]
fn a_damaged_fits_file_is_not_taken_for_hand_made() {
    let world = World::small();
    world.run(&[]);
    let sky = world.prod("exposures/20260101/00000003/sky-b0-00000003.fits");
    let made = fs::read(&sky).unwrap();
    // a FITS file written over it by hand stands
    let mut image = header(&[("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "1"), ("NAXIS1", "5000")]);
    image.extend(padded(vec![1; 5000], 0));
    fs::write(&sky, &image).unwrap();
    assert_eq!(world.state("sky-b0-00000003").0, "done");
    // the same cut short does not
    fs::write(&sky, &image[..6000]).unwrap();
    let (state, reason) = world.state("sky-b0-00000003");
    assert!(state == "stale" && reason.contains("damaged") && reason.contains("truncated"), "{state}: {reason}");
    assert_eq!(world.run(&[]).0, 0);
    assert_eq!(fs::read(&sky).unwrap(), made);
    // a flipped bit, in a file that is no FITS file any more
    let mut flipped = made.clone();
    flipped[3] ^= 1;
    fs::write(&sky, &flipped).unwrap();
    let (state, reason) = world.state("sky-b0-00000003");
    assert!(state == "stale" && reason.contains("not what was written"), "{state}: {reason}");
    // a copy of the same bytes is the same product
    fs::remove_file(&sky).unwrap();
    fs::write(&sky, &made).unwrap();
    assert_eq!(world.state("sky-b0-00000003").0, "done");
}
