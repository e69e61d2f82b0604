// How the loops are compiled for several processors at once.

#pragma once

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
// The processor decides when the library is loaded.
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif
// Into each of those versions.
#define INLINE inline __attribute__((always_inline))
