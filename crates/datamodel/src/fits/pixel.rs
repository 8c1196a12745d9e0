//! Numbers as pixels of an image: how they are stored (FITS Standard 4.0, section 4.4.1 and 5) and what cfitsio calls them.

use fitsio_sys as sys;
use std::ffi::c_int;

/// A number that an image can hold.
pub trait Pixel: Copy + Default {
    /// Image type on disk (BITPIX; 20 and 40 are cfitsio's unsigned types).
    #[doc(hidden)]
    const IMAGE: c_int;
    /// Type in memory.
    #[doc(hidden)]
    const MEMORY: c_int;
    /// BITPIX.
    #[doc(hidden)]
    const BITPIX: i64;
    /// BZERO of an unsigned type and what it is called.
    #[doc(hidden)]
    const ZERO: Option<(i64, &'static str)>;
    /// Bytes of one on disk.
    #[doc(hidden)]
    const SIZE: usize = Self::BITPIX.unsigned_abs() as usize / 8;
    /// Fills `bytes` with the numbers as they are on disk.
    #[doc(hidden)]
    fn encode(values: &[Self], bytes: &mut [u8]);
    /// Fills `values` with the numbers that `bytes` hold.
    #[doc(hidden)]
    fn decode(bytes: &[u8], values: &mut [Self]);
}

macro_rules! pixel {
    ($($t:ty as $stored:ty: $bitpix:literal, $zero:expr, $image:ident, $memory:ident;)*) => {$(
        impl Pixel for $t {
            const IMAGE: c_int = sys::$image as c_int;
            const MEMORY: c_int = sys::$memory as c_int;
            const BITPIX: i64 = $bitpix;
            const ZERO: Option<(i64, &'static str)> = $zero;

            fn encode(values: &[Self], bytes: &mut [u8]) {
                #[inline(always)]
                fn each(values: &[$t], bytes: &mut [u8]) {
                    for (b, x) in bytes.as_chunks_mut::<{ <$t>::SIZE }>().0.iter_mut().zip(values) {
                        *b = <$stored>::from(*x).to_be_bytes();
                    }
                }
                numerics::dispatch! { fn all(values: &[$t], bytes: &mut [u8]) -> () = each | each }
                all(values, bytes);
            }

            fn decode(bytes: &[u8], values: &mut [Self]) {
                #[inline(always)]
                fn each(bytes: &[u8], values: &mut [$t]) {
                    for (b, x) in bytes.as_chunks::<{ <$t>::SIZE }>().0.iter().zip(values) {
                        *x = <$stored>::from_be_bytes(*b).into();
                    }
                }
                numerics::dispatch! { fn all(bytes: &[u8], values: &mut [$t]) -> () = each | each }
                all(bytes, values);
            }
        }
    )*};
}

/// An unsigned number, stored as the signed one that BZERO less is.
macro_rules! offset {
    ($($name:ident: $t:ty;)*) => {$(
        struct $name($t);
        impl From<$t> for $name {
            fn from(x: $t) -> Self {
                Self(x)
            }
        }
        impl From<$name> for $t {
            fn from(x: $name) -> Self {
                x.0
            }
        }
        impl $name {
            const TOP: $t = !(<$t>::MAX >> 1);
            fn to_be_bytes(&self) -> [u8; <$t>::BITS as usize / 8] {
                (self.0 ^ Self::TOP).to_be_bytes()
            }
            fn from_be_bytes(bytes: [u8; <$t>::BITS as usize / 8]) -> Self {
                Self(<$t>::from_be_bytes(bytes) ^ Self::TOP)
            }
        }
    )*};
}
offset! {
    Offset16: u16;
    Offset32: u32;
}

pixel! {
    u8 as u8: 8, None, BYTE_IMG, TBYTE;
    f32 as f32: -32, None, FLOAT_IMG, TFLOAT;
    f64 as f64: -64, None, DOUBLE_IMG, TDOUBLE;
    i16 as i16: 16, None, SHORT_IMG, TSHORT;
    u16 as Offset16: 16, Some((1 << 15, "short")), USHORT_IMG, TUSHORT;
    i32 as i32: 32, None, LONG_IMG, TINT;
    u32 as Offset32: 32, Some((1 << 31, "long")), ULONG_IMG, TUINT;
    i64 as i64: 64, None, LONGLONG_IMG, TLONGLONG;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<T: Pixel + PartialEq + std::fmt::Debug>(values: &[T], first: &[u8]) {
        let mut bytes = vec![0; values.len() * T::SIZE];
        T::encode(values, &mut bytes);
        assert_eq!(&bytes[..T::SIZE], first);
        let mut back = vec![T::default(); values.len()];
        T::decode(&bytes, &mut back);
        assert_eq!(back, values);
    }

    #[test]
    fn numbers_of_every_type_survive() {
        survives(&[1.0f32, f32::MIN, -0.0, f32::INFINITY, 2.5, 3.0, 4.0, 5.0, 6.0], &[0x3f, 0x80, 0, 0]);
        survives(&[1.0f64, f64::MIN, -0.0], &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        survives(&[1u8, 0, u8::MAX], &[1]);
        survives(&[1i16, i16::MIN, i16::MAX], &[0, 1]);
        survives(&[1u16, 0, u16::MAX], &[0x80, 1]);
        survives(&[1i32, i32::MIN, i32::MAX], &[0, 0, 0, 1]);
        survives(&[1u32, 0, u32::MAX], &[0x80, 0, 0, 1]);
        survives(&[1i64, i64::MIN, i64::MAX], &[0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
