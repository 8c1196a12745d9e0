//! Dumps spectra as text columns for a look at them.
use std::io::Write;
use std::time::Instant;
use templates::{StarGrid, builtin, models::*};
fn main() {
    let t = Instant::now();
    let set = builtin();
    eprintln!("builtin {:?}", t.elapsed());
    let t = Instant::now();
    let grid = StarGrid::builtin();
    eprintln!("grid {:?} {:?}", t.elapsed(), grid.flux.dim());
    let dir = std::env::args().nth(1).unwrap();
    let put = |name: &str, wave: &[f64], rows: Vec<Vec<f64>>| {
        let mut f = std::fs::File::create(format!("{dir}/{name}.f64")).unwrap();
        let mut bytes: Vec<u8> = Vec::new();
        bytes.extend((wave.len() as f64).to_le_bytes());
        for x in wave.iter().chain(rows.iter().flatten()) {
            bytes.extend(x.to_le_bytes());
        }
        f.write_all(&bytes).unwrap();
    };
    for t in &set {
        put(&t.full_type().replace(":::", "-"), &t.wave, t.basis.rows().into_iter().map(|r| r.to_vec()).collect());
    }
    put("grid", &grid.wave, grid.flux.rows().into_iter().map(|r| r.to_vec()).collect());
    for t in ["M","K","A","WD"] { let m = templates::debug_type(t); put(&format!("t{t}"), &m.0, m.1); }
    let lib = Library::builtin();
    let mut seed = 12345u64;
    let mut u = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    for (k, n) in [
        (Kind::Bgs, "bgs"),
        (Kind::Lrg, "lrg"),
        (Kind::Elg, "elg"),
        (Kind::Qso, "qso"),
        (Kind::Star, "star"),
        (Kind::Standard, "std"),
    ] {
        let t = Instant::now();
        let m: Vec<_> = (0..6).map(|_| lib.draw(k, &mut u)).collect();
        eprintln!("{n} {:?}", t.elapsed() / 6);
        put(n, &m[0].wave.clone(), m.iter().map(|m| m.flux.clone()).collect());
    }
}
