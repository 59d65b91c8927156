/* Output and gradient of a two-layer ReLU network in one pass over the samples, in float32.
 *
 * For one chain, samples first .. last-1, with fan_in inputs x and particles (w, a):
 *
 *     z_mu,b = max(w_b . x_mu, 0)
 *     f_mu   = scale * sum_b a_b z_mu,b + offset
 *     r_mu   = f_mu - y_mu                                    (y NULL: r = f)
 *     g_b    = gain * sum_mu (r_mu + s_b z_mu,b) [z_mu,b > 0] x_mu   (s NULL: s = 0)
 *     drive  = a_b g_b,   readout = w_b . g_b
 *     bias   = sum_mu r_mu
 *
 * Both matrix products keep their result in registers and their operands in the second-level cache:
 * a block of samples is finished, forward and backward, before the next one begins. Intermediate
 * results that a matrix library must write and read again (pre-activations, gate, residual times
 * input) never leave the cache here.
 *
 * Layout: x (samples, fan_in), w and drive (fan_in, particles), all others vectors. f and bias may
 * be NULL; drive and readout are both given or both NULL. Inputs of +-1 may also be passed as codes
 * (samples, groups) of five inputs per group, which takes less than half of the time (see signs.h);
 * NULL if there are none. `work` needs relu_work(last - first, fan_in, particles, codes or not)
 * floats. There is no global state: threads may call this concurrently with separate `work`.
 */

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Samples per block. With codes, each block needs its tables to be built and sorted; a block of
 * gates, one bit each, is small whatever its length. */
#define BLOCK 96
#define CODED_BLOCK 256
#define GATED_BLOCK 1024
/* Partial sums of five inputs of +-1. */
#define ENTRIES 32

/* The arguments of relu_chain: inputs, parameters and results. */
struct sums {
    const float *x;
    const unsigned char *codes;
    const float *y, *w, *a, *s;
    float offset, scale, gain;
    long fan_in, groups, particles;
    float *f, *drive, *readout, *bias;
};

#if defined(__x86_64__)
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,fma")))
#define LANES 16
#define ROWS 12
#include "tile.h"
#undef NAME
#undef TARGET
#undef LANES
#undef ROWS

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 6
#include "tile.h"
#undef NAME
#undef TARGET
#undef LANES
#undef ROWS
#elif defined(__aarch64__)
#define NAME(x) x##_neon
#define TARGET
#define LANES 4
#define ROWS 12
#include "tile.h"
#endif

/* Name of the instruction set that will be used; NULL if there is no kernel for this processor. */
const char *relu_instructions(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "AVX2";
    return 0;
#elif defined(__aarch64__)
    return "NEON";
#else
    return 0;
#endif
}

/* Floats of work space for this number of samples, coded or not. */
long relu_work(long samples, long fan_in, long particles, int coded) {
    const long padded = particles + 32, groups = (fan_in + 4) / 5;
    const long kept = coded ? CODED_BLOCK : BLOCK, block = coded ? GATED_BLOCK : BLOCK;
    return padded * (2 * fan_in + 2 + (samples < kept ? samples : kept)) +
           (samples < block ? samples : block) * 17 + (coded ? 2 * groups * ENTRIES * 32 : 0);
}

void relu_chain(const float *x, const unsigned char *codes, const float *y, const float *w,
                const float *a, const float *s, float offset, float scale, float gain, long first,
                long last, long fan_in, long particles, float *work, float *f, float *drive,
                float *readout, float *bias) {
    const long groups = (fan_in + 4) / 5;
    const struct sums ask = {x,    codes,  y,      w,         a, s,     offset,  scale,
                             gain, fan_in, groups, particles, f, drive, readout, bias};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) chain_avx512(&ask, first, last, work);
    else chain_avx2(&ask, first, last, work);
#elif defined(__aarch64__)
    chain_neon(&ask, first, last, work);
#endif
}
