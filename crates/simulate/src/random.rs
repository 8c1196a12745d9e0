//! Reproducible random numbers: every use has a stream of its own, so that no result depends on the order in
//! which threads run.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of a `purpose` with numeric keys (exposure, camera, block ...) under the run's seed.
pub fn stream(seed: u64, purpose: &str, keys: &[u64]) -> ChaCha8Rng {
    // FNV-1a over the purpose and the keys: ChaCha separates streams whatever their numbers
    let bytes = purpose.bytes().chain(keys.iter().flat_map(|k| k.to_le_bytes()));
    let id = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(id);
    rng
}

/// A number that stands for a camera in [`stream`].
pub fn camera_key(camera: datamodel::Camera) -> u64 {
    u64::from(camera.spectrograph) * 3 + camera.band as u64
}
