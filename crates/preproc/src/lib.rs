//! Raw CCD frames to images in electrons with inverse variance and mask.
