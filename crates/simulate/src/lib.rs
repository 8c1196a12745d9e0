//! Nights of raw data whose truth is known.
//!
//! [`instrument`] says what is simulated and [`night`] what is observed; [`targets`], [`sky`] and [`lamps`] send
//! light, [`camera`] turns it into electrons per fibre, [`optics`] and [`project`] put them on the CCD, which
//! [`detector`] reads out into an [`image`] or a [`raw`] frame. [`truth`] writes down what was simulated.

pub mod airglow;
pub mod atmosphere;
pub mod camera;
pub mod cosmics;
pub mod detector;
pub mod external;
pub mod fibermap;
pub mod grid;
pub mod image;
pub mod instrument;
pub mod lamps;
pub mod night;
pub mod optics;
pub mod project;
pub mod random;
pub mod raw;
pub mod sky;
pub mod spectra;
pub mod tables;
pub mod targets;
pub mod truth;
