//! `desi_bricks`
fn main() {}
