//! Kernels compiled for several instruction sets and chosen at run time.
//!
//! Every sum of a kernel runs in the same order with fused multiply-adds, which round once on any host: every host
//! gives the same bits. A closure that multiplies would be compiled without the instructions, with a call for each
//! fused product, so loops in kernels are plain.

/// Defines a function that runs `$wide` where the processor has AVX-512, else `$narrow`, with AVX2 where it has
/// that; it may be generic over a number. Both must be `#[inline(always)]` and compute the same.
#[macro_export]
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<const $n:ident: usize>)? ($($arg:ident: $t:ty),*) -> $ret:ty
        = $wide:path | $narrow:path) => {
        $(#[$meta])*
        $vis fn $name $(<const $n: usize>)? ($($arg: $t),*) -> $ret {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,fma")]
                fn with_avx512 $(<const $n: usize>)? ($($arg: $t),*) -> $ret {
                    $wide($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2 $(<const $n: usize>)? ($($arg: $t),*) -> $ret {
                    $narrow($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { with_avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $narrow($($arg),*)
        }
    };
}
