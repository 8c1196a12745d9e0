//! Pixels of equal area on the sphere, in the nested order (Gorski et al. 2005, ApJ 622, 759, section 4).

use std::f64::consts::FRAC_PI_2;

/// Resolution of DESI's groups: 0.84 square degrees a pixel.
pub const NSIDE: u64 = 64;

/// Number of the pixel of a direction in degrees, nested order; `nside` is a power of two. `None` if a coordinate is no
/// number or the declination beyond a pole.
pub fn pixel(nside: u64, ra: f64, dec: f64) -> Option<u64> {
    if !ra.is_finite() || !(-90.0..=90.0).contains(&dec) {
        return None;
    }
    let z = dec.to_radians().sin();
    // longitude in units of a base pixel
    let t = ra.rem_euclid(360.0).to_radians() / FRAC_PI_2;
    let t = if t >= 4.0 { 0.0 } else { t };
    let n = nside as f64;
    let (face, x, y) = if z.abs() <= 2.0 / 3.0 { equatorial(nside, n, z, t) } else { polar(nside, n, dec, z, t) };
    Some(face * nside * nside + interleaved(x) + 2 * interleaved(y))
}

/// Base pixel, and column and row in it, where the pixels' edges are lines of constant z +- longitude.
fn equatorial(nside: u64, n: f64, z: f64, t: f64) -> (u64, u64, u64) {
    // numbers of the ascending and descending edges
    let rising = (n * (0.5 + t - 0.75 * z)) as u64;
    let falling = (n * (0.5 + t + 0.75 * z)) as u64;
    let (a, b) = (rising / nside, falling / nside);
    let face = match a.cmp(&b) {
        std::cmp::Ordering::Equal => (a % 4) + 4,
        std::cmp::Ordering::Less => a % 4,
        std::cmp::Ordering::Greater => (b % 4) + 8,
    };
    (face, falling % nside, nside - rising % nside - 1)
}

/// The same in the caps, whose base pixels meet in the poles.
fn polar(nside: u64, n: f64, dec: f64, z: f64, t: f64) -> (u64, u64, u64) {
    let quarter = t as u64;
    let within = t - quarter as f64;
    // sqrt(3 (1 - |z|)) without loss of digits near the pole
    let from_pole = n * 6f64.sqrt() * (0.5 * (90.0 - dec.abs()).to_radians()).sin();
    let limit = |edge: f64| (edge as u64).min(nside - 1);
    let (rising, falling) = (limit(within * from_pole), limit((1.0 - within) * from_pole));
    if z > 0.0 { (quarter, nside - falling - 1, nside - rising - 1) } else { (quarter + 8, rising, falling) }
}

/// The bits of a number below 2^32 on the even places.
fn interleaved(x: u64) -> u64 {
    (0..32).map(|bit| (x >> bit & 1) << (2 * bit)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_pixels_are_where_the_definition_puts_them() {
        for (face, (ra, dec)) in [
            (45.0, 60.0),
            (135.0, 60.0),
            (225.0, 60.0),
            (315.0, 60.0),
            (0.0, 0.0),
            (90.0, 0.0),
            (180.0, 0.0),
            (270.0, 0.0),
            (45.0, -60.0),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(pixel(1, ra, dec), Some(face as u64));
        }
        // the children of a base pixel: south, east (growing longitude), west, north
        assert_eq!(
            [(45.0, 15.0), (60.0, 41.8), (30.0, 41.8), (45.0, 80.0)].map(|(ra, dec)| pixel(2, ra, dec)),
            [Some(0), Some(1), Some(2), Some(3)]
        );
        assert_eq!((pixel(64, f64::NAN, 0.0), pixel(64, 10.0, 91.0)), (None, None));
        assert_eq!(pixel(64, 360.0, 10.0), pixel(64, 0.0, 10.0));
    }

    #[test]
    fn pixels_have_equal_areas() {
        // directions on a spiral of equal areas: each of the 192 pixels gets its share
        let (nside, points) = (4, 192_000);
        let mut counts = vec![0; 192];
        for i in 0..points {
            let z: f64 = 1.0 - (2 * i + 1) as f64 / points as f64;
            let ra = (i as f64 * 180.0 * (3.0 - 5f64.sqrt())) % 360.0;
            counts[pixel(nside, ra, z.asin().to_degrees()).unwrap() as usize] += 1;
        }
        assert!(counts.iter().all(|c| (960..=1040).contains(c)), "{counts:?}");
    }
}
