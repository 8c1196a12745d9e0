//! The calls to cfitsio, each wrapped once: a status becomes an [`Error`] that names file, HDU and action.

use super::Pixel;
use crate::{Error, Result};
use fitsio_sys as sys;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Which pair of sums does not match, if any.
pub(super) type Damage = Option<&'static str>;

/// cfitsio's status for a read past the end.
pub(super) const END_OF_FILE: i32 = 107;
/// Its status for a read that fails, or finds fewer bytes than it wants.
pub(super) const READ_ERROR: i32 = 108;

/// An open cfitsio file, closed on drop.
pub(super) struct Handle {
    file: *mut sys::fitsfile,
    path: PathBuf,
    /// Name of the current HDU, for messages.
    pub hdu: String,
}

/// cfitsio initialises itself at its first call and keeps a global table of drivers: neither is safe from two
/// threads, so opening and closing are done one at a time.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static INIT: Once = Once::new();
    static OPENING: Mutex<()> = Mutex::new(());
    // SAFETY: called once, before any other function of cfitsio.
    INIT.call_once(|| unsafe {
        sys::fits_init_cfitsio();
    });
    OPENING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    /// Opens an existing file for reading.
    pub fn open(path: &Path) -> Result<Self> {
        Self::start(path, "open", |file, name, status| {
            // SAFETY: `file` and `name` are valid for the call.
            unsafe { sys::ffdkopn(file, name, sys::READONLY as c_int, status) }
        })
    }

    /// Creates a file that does not exist yet.
    pub fn create(path: &Path) -> Result<Self> {
        Self::start(path, "create", |file, name, status| {
            // SAFETY: as in `open`.
            unsafe { sys::ffdkinit(file, name, status) }
        })
    }

    fn start(
        path: &Path,
        action: &'static str,
        f: impl FnOnce(*mut *mut sys::fitsfile, *const c_char, *mut c_int) -> c_int,
    ) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_path_buf(), action, source };
        // An absolute name: cfitsio expands a leading `~` and skips leading blanks.
        let name = std::path::absolute(path).map_err(io)?;
        let name = CString::new(name.as_os_str().as_bytes()).map_err(|e| io(e.into()))?;
        let mut handle = Self { file: std::ptr::null_mut(), path: path.to_path_buf(), hdu: String::new() };
        let mut status = 0;
        let guard = one_at_a_time();
        f(&mut handle.file, name.as_ptr(), &mut status);
        drop(guard);
        handle.check(status, action)?;
        Ok(handle)
    }

    /// Writes what is buffered and closes the file: the last chance to hear of a full disk.
    pub fn close(mut self) -> Result<()> {
        let file = std::mem::replace(&mut self.file, std::ptr::null_mut());
        let mut status = 0;
        let guard = one_at_a_time();
        // SAFETY: `file` is open and is not used again.
        unsafe { sys::ffclos(file, &mut status) };
        drop(guard);
        self.check(status, "close")
    }

    fn check(&self, status: c_int, action: &'static str) -> Result<()> {
        if status <= 0 {
            return Ok(());
        }
        let system = std::io::Error::last_os_error();
        let message = message(status);
        // Not created, write error, not closed: the system's refusals. (Not opened is none of them: that the
        // system opens a file is known before cfitsio tries.) A read error or a lack of memory is one only if
        // the system says so: cfitsio has the same statuses for files that end early.
        let refused = matches!(system.raw_os_error(), Some(libc::EIO | libc::ESTALE | libc::ETIMEDOUT | libc::ENOMEM));
        if matches!(status, 105 | 106 | 110) || (matches!(status, READ_ERROR | 113) && refused) {
            let source = if system.raw_os_error().unwrap_or(0) != 0 { system } else { std::io::Error::other(message) };
            return Err(Error::Io { path: self.path.clone(), action, source });
        }
        Err(Error::Fits { path: self.path.clone(), hdu: self.hdu.clone(), action, status, message })
    }

    /// Calls cfitsio; `f` gets the file and a status of 0.
    fn call(&self, action: &'static str, f: impl FnOnce(*mut sys::fitsfile, *mut c_int) -> c_int) -> Result<()> {
        let mut status = 0;
        f(self.file, &mut status);
        self.check(status, action)
    }

    // SAFETY of all that follows: `self.file` is an open file, used by one thread (the type is not Send), and
    // the buffers passed are as long as the counts passed with them.

    /// Makes HDU `index` (from 0) the current one.
    pub fn move_to(&self, index: usize) -> Result<()> {
        self.call("find the HDU", |f, s| unsafe { sys::ffmahd(f, index as c_int + 1, std::ptr::null_mut(), s) })
    }

    /// Bytes at which header, data and the padding behind them of the current HDU start and end.
    pub fn extent(&self) -> Result<[u64; 3]> {
        let mut e = [0i64; 3];
        let [a, b, c] = &mut e;
        self.call("locate the HDU", |f, s| unsafe { sys::ffghadll(f, a, b, c, s) })?;
        Ok(e.map(|x| x as u64))
    }

    /// The cards of the current HDU's header as written.
    pub fn records(&self) -> Result<Vec<String>> {
        let mut n = 0;
        self.call("read the header", |f, s| unsafe { sys::ffghsp(f, &mut n, std::ptr::null_mut(), s) })?;
        let mut card = [0 as c_char; 81];
        (1..=n)
            .map(|i| {
                self.call("read the header", |f, s| unsafe { sys::ffgrec(f, i, card.as_mut_ptr(), s) })?;
                Ok(text(&card))
            })
            .collect()
    }

    /// Compares CHECKSUM and DATASUM of the current HDU, where present, with its bytes.
    pub fn damage(&self) -> Result<Damage> {
        let (mut data, mut hdu) = (0, 0);
        self.call("read", |f, s| unsafe { sys::ffvcks(f, &mut data, &mut hdu, s) })?;
        Ok(if data < 0 {
            Some("DATASUM")
        } else if hdu < 0 {
            Some("CHECKSUM")
        } else {
            None
        })
    }

    /// Shape of the current HDU's image in C order (of the uncompressed one), empty if it has no data; `None`
    /// if it is a table.
    pub fn image_shape(&self) -> Result<Option<Vec<usize>>> {
        let mut kind = 0;
        self.call("read the header", |f, s| unsafe { sys::ffghdt(f, &mut kind, s) })?;
        if kind != sys::IMAGE_HDU as c_int {
            return Ok(None);
        }
        let mut n = 0;
        self.call("read the header", |f, s| unsafe { sys::ffgidm(f, &mut n, s) })?;
        let mut axes = vec![0i64; n as usize];
        self.call("read the header", |f, s| unsafe { sys::ffgiszll(f, n, axes.as_mut_ptr(), s) })?;
        Ok(Some(axes.into_iter().rev().map(|x| x as usize).collect()))
    }

    /// Type of the current HDU's image as cfitsio's `*_IMG`, BZERO considered.
    pub fn image_type(&self) -> Result<c_int> {
        let mut kind = 0;
        self.call("read the header", |f, s| unsafe { sys::ffgiet(f, &mut kind, s) })?;
        Ok(kind)
    }

    /// The `n` pixels of the current HDU's image; undefined ones (BLANK) of a compressed image or one of integers become `blank`.
    pub fn pixels<T: Pixel>(&self, n: usize, blank: Option<T>) -> Result<Vec<T>> {
        let mut data = vec![T::default(); n];
        self.pixels_from([1; 9], &mut data, blank)?;
        Ok(data)
    }

    /// Fills `data` with the pixels from `first` on (FITS: the fast axis first, counted from 1).
    pub fn pixels_from<T: Pixel>(&self, mut first: [c_long; 9], data: &mut [T], blank: Option<T>) -> Result<()> {
        let n = data.len();
        if n == 0 {
            return Ok(());
        }
        // SAFETY: reads the header only.
        let compressed = unsafe { sys::fits_is_compressed_image(self.file, &mut 0) } != 0;
        let blank = blank.filter(|_| compressed || self.holds_integers());
        let null = blank.as_ref().map_or(std::ptr::null_mut(), |b| std::ptr::from_ref(b).cast_mut().cast::<c_void>());
        let mut any = 0;
        self.call("read the image", |f, s| unsafe {
            sys::ffgpxv(f, T::MEMORY, first.as_mut_ptr(), n as i64, null, data.as_mut_ptr().cast(), &mut any, s)
        })
    }

    /// Whether the current HDU's image is stored as integers, scaled or not.
    fn holds_integers(&self) -> bool {
        let mut bitpix = 0;
        // SAFETY: reads the header only.
        unsafe { sys::ffgidt(self.file, &mut bitpix, &mut 0) == 0 && bitpix > 0 }
    }

    /// `n` bytes of the rows of the current HDU's table, from the first row on.
    pub fn row_bytes(&self, n: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        if n > 0 {
            self.call("read the table", |f, s| unsafe { sys::ffgtbb(f, 1, 1, n as i64, bytes.as_mut_ptr(), s) })?;
        }
        Ok(bytes)
    }

    /// Appends an image HDU of this shape (C order), tile-compressed by RICE, behind an empty primary one.
    pub fn create_compressed<T: Pixel>(&self, shape: &[usize]) -> Result<()> {
        let mut axes: Vec<i64> = shape.iter().rev().map(|&n| n as i64).collect();
        self.call("write the header", |f, s| unsafe {
            sys::ffcrimll(f, sys::BYTE_IMG as c_int, 0, std::ptr::null_mut(), s)
        })?;
        self.call("write the header", |f, s| unsafe { sys::fits_set_compression_type(f, sys::RICE_1 as c_int, s) })?;
        self.call("write the header", |f, s| unsafe {
            sys::ffcrimll(f, T::IMAGE, axes.len() as c_int, axes.as_mut_ptr(), s)
        })
    }

    /// Fills the image HDU just created.
    pub fn write_pixels<T: Pixel>(&self, data: &[T]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut first = [1 as c_long; 9];
        self.call("write the image", |f, s| unsafe {
            sys::ffppx(f, T::MEMORY, first.as_mut_ptr(), data.len() as i64, data.as_ptr().cast_mut().cast(), s)
        })
    }

    /// Appends a card of 80 characters to the current HDU's header.
    pub fn write_record(&self, card: &str) -> Result<()> {
        let card = c_string(card.to_string());
        self.call("write the header", |f, s| unsafe { sys::ffprec(f, card.as_ptr(), s) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.file.is_null() {
            let _guard = one_at_a_time();
            // SAFETY: open, and not used again. Its status says nothing new: whoever needs it calls `close`.
            unsafe { sys::ffclos(self.file, &mut 0) };
        }
    }
}

/// cfitsio's words for a status; its stack of messages is emptied, because all threads share it.
fn message(status: c_int) -> String {
    let mut words = [0 as c_char; 81];
    // SAFETY: ffgerr writes at most 31 characters.
    unsafe {
        sys::ffgerr(status, words.as_mut_ptr());
        sys::ffcmsg();
    }
    text(&words)
}

/// A C string in a buffer that cfitsio has filled.
fn text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().map(|&c| c as u8).take_while(|&b| b != 0).collect();
    CStr::from_bytes_with_nul(&[&bytes[..], &[0]].concat())
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Without interior NULs, which no FITS string may have.
fn c_string(s: String) -> CString {
    CString::new(s.replace('\0', "")).unwrap_or_default()
}
