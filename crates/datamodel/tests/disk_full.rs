//! A write that the system refuses half-way is an error of the system, and the old file stays. The limit on the
//! size of files stands for a full disk; it holds for the whole process, so this test is alone in its file.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use datamodel::{Error, Image};

#[test]
fn the_file_grows_beyond_what_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pix-r0-00051060.fits");
    let image = common::image();
    image.write(&path).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let large = |n| Image {
        pix: tiled(&image.pix, n),
        ivar: tiled(&image.ivar, n),
        mask: tiled(&image.mask, n),
        readnoise: tiled(&image.readnoise, n),
        ..image.clone()
    };
    for limit in [size + 2880, 200_000, 700_000] {
        // SAFETY: plain system calls; with the signal ignored the write fails instead.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(
                libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY }),
                0
            );
        }
        let Err(error) = large(10).write(&path) else { panic!("written beyond {limit} bytes") };
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}: cannot ", path.display())) && text.contains("File too large"), "{text}");
        assert!(Image::read(&path).unwrap() == image, "the old file has changed");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }
}

fn tiled<T: Copy>(a: &ndarray::Array2<T>, n: usize) -> ndarray::Array2<T> {
    let (ny, nx) = a.dim();
    ndarray::Array2::from_shape_fn((n * ny, n * nx), |(y, x)| a[(y % ny, x % nx)])
}
