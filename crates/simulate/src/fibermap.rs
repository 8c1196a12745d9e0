//! The fibermap of an exposure, in today's columns.

use crate::{
    night::Flavor,
    targets::{Class, Target},
};
use datamodel::{ColumnData, FIBERS_PER_SPECTROGRAPH, Fibermap, Header, Table, mask::fiber};

/// Sides of the survey's bricks, degrees.
const BRICK: f64 = 0.25;
/// Share of a point source's light within a fibre in 1 arcsec seeing, for FIBERFLUX.
const FIBER_SHARE: f64 = 0.78;
/// Relative error of the photometry.
const PHOTOMETRY: f64 = 0.01;

/// One fibre of an exposure.
#[derive(Debug, Clone, Copy)]
pub struct Fiber<'a> {
    /// Global number.
    pub fiber: i32,
    /// Its target.
    pub target: &'a Target,
    /// Requested less actual position, mm.
    pub offset: (f64, f64),
    /// No light comes through.
    pub dead: bool,
}

/// The fibermap of an exposure of that flavor; calibrations have no targets.
pub fn fibermap(fibers: &[Fiber], flavor: Flavor, header: Header) -> Fibermap {
    let mut table = Table::new();
    let science = matches!(flavor, Flavor::Science(_));
    add_identity(&mut table, fibers, science);
    add_position(&mut table, fibers);
    add_photometry(&mut table, fibers, science);
    add_targeting(&mut table, fibers, science);
    let seconds = header.float("EXPTIME").unwrap_or(0.0);
    table.set("EXPTIME", "s", ColumnData::F64(vec![seconds; fibers.len()]));
    Fibermap { header, table }
}

fn add_identity(table: &mut Table, fibers: &[Fiber], science: bool) {
    let petal = |f: &Fiber| (f.fiber / FIBERS_PER_SPECTROGRAPH as i32) as i16;
    let device = |f: &Fiber| f.fiber % FIBERS_PER_SPECTROGRAPH as i32;
    let bits = |f: &Fiber| if f.dead { fiber::BROKENFIBER } else { 0 } as i32;
    let id = |f: &Fiber| if science { f.target.targetid } else { -1 - i64::from(f.fiber) };
    table.set("TARGETID", "", ColumnData::I64(fibers.iter().map(id).collect()));
    table.set("PETAL_LOC", "", ColumnData::I16(fibers.iter().map(petal).collect()));
    table.set("DEVICE_LOC", "", ColumnData::I32(fibers.iter().map(device).collect()));
    table.set(
        "LOCATION",
        "",
        ColumnData::I64(fibers.iter().map(|f| 1000 * i64::from(petal(f)) + i64::from(device(f))).collect()),
    );
    table.set("FIBER", "", ColumnData::I32(fibers.iter().map(|f| f.fiber).collect()));
    table.set("FIBERSTATUS", "", ColumnData::I32(fibers.iter().map(bits).collect()));
}

fn add_position(table: &mut Table, fibers: &[Fiber]) {
    let f64s = |value: &dyn Fn(&Fiber) -> f64| ColumnData::F64(fibers.iter().map(value).collect());
    let f32s = |value: &dyn Fn(&Fiber) -> f64| ColumnData::F32(fibers.iter().map(|f| value(f) as f32).collect());
    table.set("TARGET_RA", "deg", f64s(&|f| f.target.ra));
    table.set("TARGET_DEC", "deg", f64s(&|f| f.target.dec));
    table.set("PMRA", "mas yr^-1", f32s(&|_| 0.0));
    table.set("PMDEC", "mas yr^-1", f32s(&|_| 0.0));
    table.set("REF_EPOCH", "yr", f32s(&|_| 2015.5));
    table.set("LAMBDA_REF", "Angstrom", f32s(&|_| 5400.0));
    table.set("FIBERASSIGN_X", "mm", f32s(&|f| f.target.focal.0));
    table.set("FIBERASSIGN_Y", "mm", f32s(&|f| f.target.focal.1));
    table.set("FIBER_X", "mm", f64s(&|f| f.target.focal.0 - f.offset.0));
    table.set("FIBER_Y", "mm", f64s(&|f| f.target.focal.1 - f.offset.1));
    table.set("DELTA_X", "mm", f64s(&|f| f.offset.0));
    table.set("DELTA_Y", "mm", f64s(&|f| f.offset.1));
    table.set("FIBER_RA", "deg", f64s(&|f| f.target.ra));
    table.set("FIBER_DEC", "deg", f64s(&|f| f.target.dec));
    table.set("PLATE_RA", "deg", f64s(&|f| f.target.ra));
    table.set("PLATE_DEC", "deg", f64s(&|f| f.target.dec));
}

fn add_photometry(table: &mut Table, fibers: &[Fiber], science: bool) {
    let strings = |width: usize, value: &dyn Fn(&Fiber) -> String| ColumnData::Str {
        width,
        values: fibers.iter().map(value).collect(),
    };
    let assigned = |f: &Fiber| science && f.target.class != Class::Unassigned;
    table.set(
        "BRICKNAME",
        "",
        strings(8, &|f| if assigned(f) { brick_name(f.target.ra, f.target.dec) } else { String::new() }),
    );
    table.set("RELEASE", "", ColumnData::I16(vec![9010; fibers.len()]));
    table.set("MORPHTYPE", "", strings(4, &|f| morphology(f.target.class).to_string()));
    table.set("PHOTSYS", "", strings(1, &|_| "S".to_string()));
    table.set("EBV", "mag", ColumnData::F32(fibers.iter().map(|f| f.target.ebv as f32).collect()));
    for (i, band) in ["G", "R", "Z"].into_iter().enumerate() {
        let flux = |f: &Fiber| if science { f.target.nanomaggies()[i] } else { 0.0 };
        let error = |f: &Fiber| PHOTOMETRY * flux(f).max(1.0);
        let column = |value: &dyn Fn(&Fiber) -> f64| ColumnData::F32(fibers.iter().map(|f| value(f) as f32).collect());
        table.set(&format!("FLUX_{band}"), "nanomaggy", column(&flux));
        table.set(&format!("FLUX_IVAR_{band}"), "nanomaggy^-2", column(&|f| error(f).powi(-2)));
        table.set(&format!("FIBERFLUX_{band}"), "nanomaggy", column(&|f| FIBER_SHARE * flux(f)));
        table.set(&format!("FIBERTOTFLUX_{band}"), "nanomaggy", column(&|f| FIBER_SHARE * flux(f)));
    }
    table.set("FLUX_W1", "nanomaggy", ColumnData::F32(vec![0.0; fibers.len()]));
    table.set("FLUX_W2", "nanomaggy", ColumnData::F32(vec![0.0; fibers.len()]));
    table.set(
        "SHAPE_R",
        "arcsec",
        ColumnData::F32(fibers.iter().map(|f| if morphology(f.target.class) == "REX" { 0.4 } else { 0.0 }).collect()),
    );
    table.set("MASKBITS", "", ColumnData::I16(vec![0; fibers.len()]));
}

fn add_targeting(table: &mut Table, fibers: &[Fiber], science: bool) {
    let object = |f: &Fiber| match f.target.class {
        _ if !science => "NON",
        Class::Sky => "SKY",
        Class::Unassigned => "BAD",
        _ => "TGT",
    };
    let kind = |f: &Fiber| match f.target.class {
        _ if !science => 0u8,
        Class::Unassigned => 0,
        Class::Sky => 4,
        Class::Standard => 1 | 2,
        _ => 1,
    };
    table.set(
        "OBJTYPE",
        "",
        ColumnData::Str { width: 3, values: fibers.iter().map(|f| object(f).to_string()).collect() },
    );
    table.set("FA_TYPE", "", ColumnData::U8(fibers.iter().map(kind).collect()));
    table.set(
        "FA_TARGET",
        "",
        ColumnData::I64(fibers.iter().map(|f| if science { f.target.target_bits()[0] } else { 0 }).collect()),
    );
    for (i, name) in ["DESI_TARGET", "BGS_TARGET", "MWS_TARGET", "SCND_TARGET"].into_iter().enumerate() {
        let bits = |f: &Fiber| if science { f.target.target_bits().get(i).copied().unwrap_or(0) } else { 0 };
        table.set(name, "", ColumnData::I64(fibers.iter().map(bits).collect()));
    }
    table.set(
        "PRIORITY",
        "",
        ColumnData::I32(fibers.iter().map(|f| if kind(f) & 1 == 1 { 3000 } else { -1 }).collect()),
    );
    table.set("SUBPRIORITY", "", ColumnData::F64(fibers.iter().map(|f| f64::from(f.fiber % 997) / 997.0).collect()));
    table.set("OBSCONDITIONS", "", ColumnData::I32(vec![7; fibers.len()]));
}

/// Imaging model: stars and quasars are points, galaxies round exponentials.
fn morphology(class: Class) -> &'static str {
    match class {
        Class::Bgs | Class::Lrg | Class::Elg => "REX",
        _ => "PSF",
    }
}

/// Name of the survey's brick at a position: rows of 0.25 degrees in declination, cut in right ascension into
/// an even number of bricks that are at most as wide; ten times the centre's coordinates make the name.
pub fn brick_name(ra: f64, dec: f64) -> String {
    let row = ((dec + 90.0 + 0.5 * BRICK) / BRICK).floor();
    let centre = -90.0 + row * BRICK;
    let widest = (centre.abs() - 0.5 * BRICK).max(0.0).to_radians().cos() * 360.0;
    let columns = 2.0 * (widest / BRICK / 2.0).ceil();
    let column = (ra.rem_euclid(360.0) * columns / 360.0).floor();
    let tenth = |x: f64| (10.0 * x).floor() as i64;
    let sign = if centre < 0.0 { 'm' } else { 'p' };
    format!("{:04}{sign}{:03}", tenth((column + 0.5) * 360.0 / columns), tenth(centre.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bricks_are_named_as_the_imaging_surveys_name_them() {
        // desiutil.brick
        for (ra, dec, name) in
            [(180.0, 0.0, "1801p000"), (0.1, -0.2, "0001m002"), (215.3, 32.7, "2154p327"), (359.99, 60.05, "3597p600")]
        {
            assert_eq!(brick_name(ra, dec), name);
        }
    }
}
