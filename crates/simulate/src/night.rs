//! The plan of a night: arcs and flats in the afternoon, then tiles, each visited several times.

use crate::{lamps, random};
use datamodel::{Expid, Header, Night};
use jiff::civil::{Date, DateTime, date};
use rand::Rng;

/// Kind of an exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Emission-line lamps.
    Arc,
    /// Continuum lamp.
    Flat,
    /// The sky; the number of the tile among the night's.
    Science(usize),
}

/// One exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// Its number.
    pub expid: Expid,
    /// Its kind.
    pub flavor: Flavor,
    /// Exposure time in seconds.
    pub seconds: f64,
    /// Start, days.
    pub mjd: f64,
    /// Airmass (1 for calibrations).
    pub airmass: f64,
    /// Share of a point source's light that a fibre takes in, relative to median seeing.
    pub acceptance: f64,
    /// Change of the airglow lines towards the field's edge in x and y, relative.
    pub airglow_gradient: (f64, f64),
}

/// How many exposures of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The night.
    pub night: Night,
    /// First exposure number.
    pub first: Expid,
    /// Arcs.
    pub arcs: u32,
    /// Flats.
    pub flats: u32,
    /// Science exposures.
    pub exposures: u32,
    /// Consecutive science exposures of one tile.
    pub visits: u32,
    /// Exposure time of the science exposures, seconds.
    pub seconds: f64,
}

/// Read-out and slew between two exposures, seconds.
const OVERHEAD: f64 = 120.0;
/// Start of the calibrations and of the first tile, UTC hours after 0h of the local date (Kitt Peak is 7 hours
/// behind).
const CALIBRATION_HOUR: f64 = 23.0;
const SCIENCE_HOUR: f64 = 26.5;
/// Largest relative change of the airglow lines from the centre of the field to its edge.
const AIRGLOW_GRADIENT: f64 = 0.01;

impl Plan {
    /// The night's exposures in order.
    pub fn exposures(&self, seed: u64) -> Vec<Exposure> {
        let arcs = std::iter::repeat_n((Flavor::Arc, lamps::ARC_SECONDS), self.arcs as usize);
        let flats = std::iter::repeat_n((Flavor::Flat, lamps::FLAT_SECONDS), self.flats as usize);
        let visits = self.visits.max(1);
        let science = (0..self.exposures).map(|i| (Flavor::Science((i / visits) as usize), self.seconds));
        let (mut calibration, mut sky) = (CALIBRATION_HOUR, SCIENCE_HOUR);
        let numbered = arcs.chain(flats).chain(science).enumerate();
        numbered
            .map(|(i, (flavor, seconds))| {
                let clock = if matches!(flavor, Flavor::Science(_)) { &mut sky } else { &mut calibration };
                let mjd = mjd(self.night) + *clock / 24.0;
                *clock += (seconds + OVERHEAD) / 3600.0;
                self.expose(Expid(self.first.0 + i as u32), flavor, seconds, mjd, seed)
            })
            .collect()
    }

    fn expose(&self, expid: Expid, flavor: Flavor, seconds: f64, mjd: f64, seed: u64) -> Exposure {
        let calm =
            Exposure { expid, flavor, seconds, mjd, airmass: 1.0, acceptance: 1.0, airglow_gradient: (0.0, 0.0) };
        if !matches!(flavor, Flavor::Science(_)) {
            return calm;
        }
        let mut rng = random::stream(seed, "conditions", &[u64::from(expid.0)]);
        let angle = rng.random_range(0.0..std::f64::consts::TAU);
        let gradient = AIRGLOW_GRADIENT * rng.random_range(0.0..1.0);
        Exposure {
            airmass: rng.random_range(1.0..1.4),
            acceptance: rng.random_range(0.92..1.05),
            airglow_gradient: (gradient * angle.cos(), gradient * angle.sin()),
            ..calm
        }
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.exposures.div_ceil(self.visits.max(1)) as usize
    }
}

/// First exposure number of a night if none is given: 100 a day since 2020, so that no two nights share one.
pub fn first_expid(night: Night) -> Expid {
    let since = mjd(night) - mjd(Night(20_200_101));
    Expid((since.max(0.0) * 100.0) as u32)
}

fn civil(night: Night) -> Date {
    let (y, m, d) = ((night.0 / 10_000) as i16, (night.0 / 100 % 100) as i8, (night.0 % 100) as i8);
    Date::new(y, m, d).unwrap_or(date(2020, 1, 1))
}

/// Modified Julian date of 0h UTC of the night's date.
fn mjd(night: Night) -> f64 {
    f64::from(civil(night).duration_since(date(1858, 11, 17)).as_hours() as i32) / 24.0
}

/// UTC date and time of a modified Julian date, ISO, to the second.
fn iso(mjd: f64) -> String {
    let start: DateTime = date(1858, 11, 17).at(0, 0, 0, 0);
    let at = start.checked_add(jiff::SignedDuration::from_secs((mjd * 86_400.0).round() as i64)).unwrap_or(start);
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

impl Exposure {
    /// arc, flat or science.
    pub fn flavor_name(&self) -> &'static str {
        match self.flavor {
            Flavor::Arc => "arc",
            Flavor::Flat => "flat",
            Flavor::Science(_) => "science",
        }
    }

    /// The exposure's keywords; `tile` is the number and centre of its tile.
    pub fn header(&self, night: Night, tile: Option<(i64, (f64, f64))>) -> Header {
        let (program, lamps) = match self.flavor {
            Flavor::Arc => ("CALIB short Arcs all", true),
            Flavor::Flat => ("CALIB DESI-CALIB-00 leds only", true),
            Flavor::Science(_) => ("DARK", false),
        };
        let mut header = Header::new();
        header.set("EXPID", self.expid.0, "exposure number");
        header.set("NIGHT", night.0, "date of local sunset");
        header.set("FLAVOR", self.flavor_name(), "arc, flat or science");
        header.set("OBSTYPE", self.flavor_name().to_uppercase(), "kind of exposure");
        header.set("PROGRAM", program, "programme");
        header.set("EXPTIME", self.seconds, "[s] exposure time");
        header.set("REQTIME", self.seconds, "[s] requested exposure time");
        header.set("DATE-OBS", iso(self.mjd), "start, UTC");
        header.set("MJD-OBS", self.mjd, "[d] start, UTC");
        header.set("AIRMASS", self.airmass, "airmass");
        header.set("LAMPS", lamps, "calibration lamps are on");
        header.set("TILEID", tile.map_or(-1, |t| t.0), "tile");
        if let Some((_, (ra, dec))) = tile {
            for (key, value, comment) in [
                ("TARGTRA", ra, "[deg] target right ascension"),
                ("TARGTDEC", dec, "[deg] target declination"),
                ("TELRA", ra, "[deg] telescope right ascension"),
                ("TELDEC", dec, "[deg] telescope declination"),
                ("SKYRA", ra, "[deg] right ascension"),
                ("SKYDEC", dec, "[deg] declination"),
            ] {
                header.set(key, value, comment);
            }
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(night: u32) -> Plan {
        let night = Night(night);
        Plan { night, first: first_expid(night), arcs: 3, flats: 3, exposures: 5, visits: 2, seconds: 1000.0 }
    }

    #[test]
    fn exposures_are_numbered_by_the_night_and_tiles_are_revisited() {
        let exposures = plan(20260101).exposures(1);
        assert_eq!(exposures.len(), 11);
        assert_eq!(exposures[0].expid, Expid(219_200));
        assert_eq!(plan(20260102).first, Expid(219_300));
        let tiles: Vec<Flavor> = exposures[6..].iter().map(|e| e.flavor).collect();
        assert_eq!(tiles, [0, 0, 1, 1, 2].map(Flavor::Science));
        assert_eq!(plan(20260101).tiles(), 3);
        assert!(exposures.windows(2).all(|w| w[1].mjd - w[0].mjd >= w[0].seconds / 86_400.0));
    }

    #[test]
    fn dates_are_civil() {
        // 2026-01-01 is MJD 61041
        assert_eq!(mjd(Night(20_260_101)), 61_041.0);
        assert_eq!(iso(61_041.5), "2026-01-01T12:00:00");
    }
}
