//! Bits of the survey's masks, with the values of today's data model.

/// Pixels of a CCD image (HDU MASK of pix files).
pub mod ccd {
    #![allow(missing_docs)]
    pub const BAD: u32 = 1 << 0;
    pub const HOT: u32 = 1 << 1;
    pub const DEAD: u32 = 1 << 2;
    pub const SATURATED: u32 = 1 << 3;
    pub const COSMIC: u32 = 1 << 4;
    /// Pixel flat is 0.
    pub const PIXFLATZERO: u32 = 1 << 5;
    /// Pixel flat is below 0.1.
    pub const PIXFLATLOW: u32 = 1 << 6;
    pub const HIGHVAR: u32 = 1 << 7;
    /// Informational: the pixel is used.
    pub const BADREADNOISE: u32 = 1 << 8;
    pub const BADAMP: u32 = 1 << 9;
}

/// Wavelength bins of a spectrum (HDU MASK of frames and of what follows).
pub mod spec {
    #![allow(missing_docs)]
    pub const SOMEBADPIX: u32 = 1 << 0;
    pub const ALLBADPIX: u32 = 1 << 1;
    pub const COSMIC: u32 = 1 << 2;
    /// Fibre flat below 0.5.
    pub const LOWFLAT: u32 = 1 << 3;
    pub const BADFIBERFLAT: u32 = 1 << 4;
    pub const BRIGHTSKY: u32 = 1 << 5;
    pub const BADSKY: u32 = 1 << 6;
    pub const BAD2DFIT: u32 = 1 << 7;
    pub const NODATA: u32 = 1 << 8;
    pub const BADFIBER: u32 = 1 << 9;
    pub const BADCOLUMN: u32 = 1 << 10;
    pub const SATURATED: u32 = 1 << 11;
    pub const CONTAMINATED: u32 = 1 << 12;
}

/// FIBERSTATUS of the fibermap.
pub mod fiber {
    #![allow(missing_docs)]
    use crate::Band;
    pub const UNASSIGNED: u32 = 1 << 0;
    pub const STUCKPOSITIONER: u32 = 1 << 1;
    pub const BROKENFIBER: u32 = 1 << 2;
    pub const RESTRICTED: u32 = 1 << 3;
    pub const MISSINGPOSITION: u32 = 1 << 8;
    pub const BADPOSITION: u32 = 1 << 9;
    pub const POORPOSITION: u32 = 1 << 10;
    pub const BRIGHTNEIGHBOR: u32 = 1 << 11;
    pub const LOWTRANSMISSION: u32 = 1 << 12;
    pub const NEARCHARGETRAP: u32 = 1 << 13;
    pub const VARIABLETHRU: u32 = 1 << 14;
    pub const LOWEFFTIME: u32 = 1 << 15;
    pub const BADFIBER: u32 = 1 << 16;
    pub const BADTRACE: u32 = 1 << 17;
    pub const BADFLAT: u32 = 1 << 18;
    pub const BADARC: u32 = 1 << 19;
    pub const VARIABLE: u32 = 1 << 20;
    pub const MANYREJECTED: u32 = 1 << 21;
    pub const BADAMPB: u32 = 1 << 22;
    pub const BADAMPR: u32 = 1 << 23;
    pub const BADAMPZ: u32 = 1 << 24;

    /// The bit that says a camera of this band has a bad amplifier under the fibre.
    pub fn bad_amp(band: Band) -> u32 {
        match band {
            Band::B => BADAMPB,
            Band::R => BADAMPR,
            Band::Z => BADAMPZ,
        }
    }

    /// Bits that make a fibre useless for science in a band.
    pub fn bad(band: Band) -> u32 {
        BROKENFIBER
            | MISSINGPOSITION
            | BADPOSITION
            | BRIGHTNEIGHBOR
            | BADFIBER
            | BADTRACE
            | BADARC
            | BADFLAT
            | MANYREJECTED
            | bad_amp(band)
    }

    /// Bits that make a fibre useless as a standard star.
    pub fn bad_for_stdstars(band: Band) -> u32 {
        bad(band) | POORPOSITION
    }

    /// Bits that make a fibre useless in a flat: the positions do not matter there.
    pub fn bad_for_flat(band: Band) -> u32 {
        BROKENFIBER | BRIGHTNEIGHBOR | BADFIBER | BADTRACE | BADARC | MANYREJECTED | bad_amp(band)
    }
}

/// ZWARN of a redshift.
pub mod zwarn {
    #![allow(missing_docs)]
    pub const SKY: i64 = 1 << 0;
    pub const LITTLE_COVERAGE: i64 = 1 << 1;
    pub const SMALL_DELTA_CHI2: i64 = 1 << 2;
    pub const NEGATIVE_MODEL: i64 = 1 << 3;
    pub const MANY_OUTLIERS: i64 = 1 << 4;
    pub const Z_FITLIMIT: i64 = 1 << 5;
    pub const NEGATIVE_EMISSION: i64 = 1 << 6;
    pub const UNPLUGGED: i64 = 1 << 7;
    pub const BAD_TARGET: i64 = 1 << 8;
    pub const NODATA: i64 = 1 << 9;
    pub const BAD_MINFIT: i64 = 1 << 10;
    pub const POORDATA: i64 = 1 << 11;
}

/// DESI_TARGET and MWS_TARGET bits that the pipeline looks at.
pub mod target {
    #![allow(missing_docs)]
    pub const LRG: i64 = 1 << 0;
    pub const ELG: i64 = 1 << 1;
    pub const QSO: i64 = 1 << 2;
    pub const SKY: i64 = 1 << 32;
    pub const STD_FAINT: i64 = 1 << 33;
    pub const STD_WD: i64 = 1 << 34;
    pub const STD_BRIGHT: i64 = 1 << 35;
    pub const BGS_ANY: i64 = 1 << 60;
    pub const MWS_ANY: i64 = 1 << 61;
    pub const GAIA_STD_FAINT: i64 = 1 << 33;
    pub const GAIA_STD_WD: i64 = 1 << 34;
    pub const GAIA_STD_BRIGHT: i64 = 1 << 35;
}
