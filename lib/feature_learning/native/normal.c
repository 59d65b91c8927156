/* Standard normal numbers in float32 from a counter: number i depends only on the key and on i.
 *
 * Words of 32 bits come from Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"), and normal numbers from pairs of words by Box and Muller (1958)
 * with 24 bits each; their size is therefore 5.9 at most. The key is the only state: a caller draws
 * one key per step.
 */

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__x86_64__)
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,fma")))
#define LANES 16
#include "normal.h"
#undef NAME
#undef TARGET
#undef LANES

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#include "normal.h"
#undef NAME
#undef TARGET
#undef LANES
#elif defined(__aarch64__)
#define NAME(x) x##_neon
#define TARGET
#define LANES 4
#include "normal.h"
#endif

/* Fill `out` with `count` normal numbers. */
void normal_fill(float *out, long count, uint64_t key) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) normal_avx512(out, count, key);
    else normal_avx2(out, count, key);
#elif defined(__aarch64__)
    normal_neon(out, count, key);
#endif
}
