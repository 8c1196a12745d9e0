//! What belongs together: the fibres of a brick of the imaging survey, or of a pixel of the sky.

use crate::healpix::{self, NSIDE};
use datamodel::{Fibermap, Header};
use std::{fmt, path::PathBuf};

/// How spectra are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Grouping {
    /// By BRICKNAME of the fibermap.
    #[default]
    Brick,
    /// By the HEALPix pixel (nside 64, nested) of TARGET_RA and TARGET_DEC.
    Healpix,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A brick by its name.
    Brick(String),
    /// A pixel by its number.
    Healpix(u64),
}

impl Grouping {
    /// The group of that name.
    ///
    /// # Errors
    /// A sentence, if a pixel is no number below 12 nside^2.
    pub fn named(self, name: &str) -> Result<Group, String> {
        match self {
            Self::Brick => Ok(Group::Brick(name.trim().to_string())),
            Self::Healpix => match name.trim().parse() {
                Ok(pixel) if pixel < 12 * NSIDE * NSIDE => Ok(Group::Healpix(pixel)),
                _ => Err(format!("{name} is no HEALPix pixel: expected a number below {}", 12 * NSIDE * NSIDE)),
            },
        }
    }

    /// The group of each row; `None` for fibres that look at nothing (broken or unassigned) or have no place.
    pub fn of_rows(self, fibermap: &Fibermap) -> Vec<Option<Group>> {
        let n = fibermap.len();
        let kinds = fibermap.table.strings("OBJTYPE");
        let assigned = |i: usize| kinds.is_none_or(|k| !["", "NON", "BAD"].contains(&k[i].trim()));
        let all: Vec<Option<Group>> = match self {
            Self::Brick => {
                let of_name =
                    |name: &String| Some(name.trim()).filter(|n| !n.is_empty()).map(|n| Group::Brick(n.into()));
                fibermap
                    .table
                    .strings("BRICKNAME")
                    .map_or_else(|| vec![None; n], |names| names.iter().map(of_name).collect())
            }
            Self::Healpix => {
                let (ra, dec) = (fibermap.table.floats("TARGET_RA"), fibermap.table.floats("TARGET_DEC"));
                let at = |(ra, dec): (f64, f64)| healpix::pixel(NSIDE, ra, dec).map(Group::Healpix);
                ra.zip(dec).map_or_else(|| vec![None; n], |(ra, dec)| ra.into_iter().zip(dec).map(at).collect())
            }
        };
        all.into_iter().enumerate().map(|(i, group)| group.filter(|_| assigned(i))).collect()
    }
}

impl Group {
    /// How it is grouped.
    pub fn grouping(&self) -> Grouping {
        match self {
            Self::Brick(_) => Grouping::Brick,
            Self::Healpix(_) => Grouping::Healpix,
        }
    }

    /// Its rows.
    pub fn rows(&self, fibermap: &Fibermap) -> Vec<usize> {
        let of_rows = self.grouping().of_rows(fibermap);
        of_rows.iter().enumerate().filter(|(_, g)| g.as_ref() == Some(self)).map(|(i, _)| i).collect()
    }

    /// Where its file lies in a folder of all: NAME/brick-NAME.fits, or PIXEL/100/PIXEL/spectra-PIXEL.fits.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Brick(name) => PathBuf::from(name).join(format!("brick-{name}.fits")),
            Self::Healpix(pixel) => {
                PathBuf::from((pixel / 100).to_string()).join(pixel.to_string()).join(format!("spectra-{pixel}.fits"))
            }
        }
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new();
        match self {
            Self::Brick(name) => header.set("BRICKNAM", name.as_str(), "brick of the imaging survey"),
            Self::Healpix(pixel) => header
                .set("SPGRP", "healpix", "how the spectra are grouped")
                .set("SPGRPVAL", *pixel as i64, "the group")
                .set("HPXPIXEL", *pixel as i64, "HEALPix pixel")
                .set("HPXNSIDE", NSIDE as i64, "its resolution")
                .set("HPXNEST", true, "nested order"),
        };
        header
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Brick(name) => write!(f, "brick {name}"),
            Self::Healpix(pixel) => write!(f, "HEALPix pixel {pixel}"),
        }
    }
}
