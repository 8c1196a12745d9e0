//! The factor between wavelengths at the telescope and at the barycentre of the solar system.

use datamodel::Header;
use numerics::LIGHT_KMS;

/// Astronomical unit, km (IAU 2012 resolution B2).
const AU: f64 = 149_597_870.7;
/// Seconds in a day.
const DAY: f64 = 86_400.0;
/// Julian date of MJD 0, days.
const MJD_ZERO: f64 = 2_400_000.5;
/// Julian date of the epoch J2000, days.
const J2000: f64 = 2_451_545.0;
/// Dynamical time minus UTC since 2017, days (69.184 s).
const TT_MINUS_UTC: f64 = 69.184 / DAY;
/// Obliquity of the ecliptic at J2000, radians (84381.448 arcsec; Lieske et al. 1977).
const OBLIQUITY: f64 = 84_381.448 / 3600.0 * std::f64::consts::PI / 180.0;
/// Rate of the Earth's rotation, rad/s (IERS Conventions 2010, table 1.2).
const ROTATION: f64 = 7.292_115e-5;
/// Equatorial radius of the Earth, km, and its flattening (WGS 84).
const RADIUS: f64 = 6_378.137;
const FLATTENING: f64 = 1.0 / 298.257_223_563;

/// Where a telescope stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Site {
    /// Geodetic latitude, degrees.
    pub latitude: f64,
    /// Longitude east of Greenwich, degrees.
    pub longitude: f64,
    /// Height, m.
    pub elevation: f64,
}

/// The Mayall telescope on Kitt Peak, as the survey's programs place it.
pub const MAYALL: Site = Site { latitude: 31.964_03, longitude: -111.599_89, elevation: 2097.0 };

/// The factor for the middle of an exposure, from its header: TARGTRA or SKYRA, TELRA, RA and likewise for the
/// declination (degrees, ICRS), MJD-OBS or MJD (days, UTC, start) and EXPTIME (s). The site is that of SITELAT, SITELONG (east)
/// and SITEELEV, else the Mayall telescope.
///
/// # Errors
/// The keyword that is missing.
pub fn factor_of(header: &Header) -> Result<f64, &'static str> {
    let first = |keys: &[&str]| keys.iter().find_map(|k| header.float(k));
    let ra = first(&["TARGTRA", "SKYRA", "TELRA", "RA"]).ok_or("TARGTRA")?;
    let dec = first(&["TARGTDEC", "SKYDEC", "TELDEC", "DEC"]).ok_or("TARGTDEC")?;
    let start = first(&["MJD-OBS", "MJD"]).ok_or("MJD-OBS")?;
    let middle = start + 0.5 * header.float("EXPTIME").unwrap_or(0.0) / DAY;
    let site = match (header.float("SITELAT"), header.float("SITELONG"), header.float("SITEELEV")) {
        (Some(latitude), Some(longitude), Some(elevation)) => Site { latitude, longitude, elevation },
        _ => MAYALL,
    };
    Ok(factor(ra, dec, middle, site))
}

/// What wavelengths at the telescope are multiplied by: `γ (1 + β·n)` with the telescope's barycentric velocity `β c`
/// and the target's direction `n`, given by its ICRS coordinates in degrees; `mjd` is UTC. Right to 10⁻⁸ (3 m/s): the
/// light's delay in the Sun's field and the change of the Earth's axis since J2000 are left out.
pub fn factor(ra: f64, dec: f64, mjd: f64, site: Site) -> f64 {
    let (sin_ra, cos_ra) = libm::sincos(ra.to_radians());
    let (sin_dec, cos_dec) = libm::sincos(dec.to_radians());
    let n = [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec];
    let (orbit, spin) = (orbital_velocity(mjd), rotation_velocity(mjd, site));
    let beta: [f64; 3] = std::array::from_fn(|k| (orbit[k] + spin[k]) / LIGHT_KMS);
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    (1.0 + dot(beta, n)) / (1.0 - dot(beta, beta)).sqrt()
}

/// Velocity of the Earth's centre against the barycentre, km/s, equatorial axes of J2000: the change of the position
/// of the theory VSOP87E (Bretagnon & Francou 1988, A&A 202, 309) over 0.02 days.
fn orbital_velocity(mjd: f64) -> [f64; 3] {
    const STEP: f64 = 0.01;
    let position = |t: f64| {
        let p = vsop87::vsop87e::earth(MJD_ZERO + mjd + TT_MINUS_UTC + t);
        [p.x, p.y, p.z]
    };
    let (before, after) = (position(-STEP), position(STEP));
    let [x, y, z]: [f64; 3] = std::array::from_fn(|k| (after[k] - before[k]) * AU / (2.0 * STEP * DAY));
    let (sin, cos) = libm::sincos(OBLIQUITY);
    [x, cos * y - sin * z, sin * y + cos * z]
}

/// Velocity of a site by the Earth's rotation, km/s, equatorial axes; the rotation angle is that of Capitaine, Guinot &
/// McCarthy (2000, A&A 355, 398).
fn rotation_velocity(mjd: f64, site: Site) -> [f64; 3] {
    let days = mjd + MJD_ZERO - J2000;
    let turns = 0.779_057_273_264 + 0.002_737_811_911_354_48 * days + days.rem_euclid(1.0);
    let angle = turns.rem_euclid(1.0) * std::f64::consts::TAU + site.longitude.to_radians();
    let (sin_lat, cos_lat) = libm::sincos(site.latitude.to_radians());
    let curvature = RADIUS / (1.0 - FLATTENING * (2.0 - FLATTENING) * sin_lat * sin_lat).sqrt();
    let speed = ROTATION * (curvature + 1e-3 * site.elevation) * cos_lat;
    let (sin, cos) = libm::sincos(angle);
    [-speed * sin, speed * cos, 0.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What astropy 7 gives with JPL's ephemerides (`1 + SkyCoord.radial_velocity_correction / c`), as the survey's
    /// extraction uses it.
    #[test]
    fn agrees_with_jpl_ephemerides() {
        for (ra, dec, mjd, expected) in [
            (10.0, 30.0, 59000.25, 1.0000673325445477),
            (150.1, 2.2, 59300.3, 0.9999441441076371),
            (215.0, 52.0, 58600.5, 0.9999710249761303),
            (333.0, -5.5, 61364.1, 0.9999000840581873),
            (80.0, 80.0, 60000.0, 0.9999489066845418),
        ] {
            let found = factor(ra, dec, mjd, MAYALL);
            assert!((found - expected).abs() < 1.5e-8, "({ra}, {dec}) at {mjd}: {:e}", found - expected);
        }
    }

    #[test]
    fn the_middle_of_the_exposure_counts_and_missing_keywords_are_named() {
        let mut header = Header::new();
        header.set("TARGTRA", 10.0, "").set("MJD-OBS", 59000.2, "");
        assert_eq!(factor_of(&header), Err("TARGTDEC"));
        header.set("TARGTDEC", 30.0, "").set("EXPTIME", 0.1 * DAY, "");
        assert_eq!(factor_of(&header), Ok(factor(10.0, 30.0, 59000.25, MAYALL)));
    }
}
