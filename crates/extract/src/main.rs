//! `desi_extract`
fn main() {}
