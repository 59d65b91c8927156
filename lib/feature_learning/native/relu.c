/* Field and gradient of a two-layer ReLU network in one pass over the samples, in float32.
 *
 * For one chain, samples first .. last-1, with fan_in inputs x, particles (w, a):
 *
 *     z_mu,b = max(w_b . x_mu, 0)
 *     f_mu   = scale * sum_b a_b z_mu,b + offset
 *     r_mu   = f_mu - y_mu                                    (y NULL: r = f)
 *     drive  = sum_mu (r_mu + s_b z_mu,b) [z_mu,b > 0] x_mu   (s NULL: s = 0)
 *     bias   = sum_mu r_mu
 *
 * Both matrix products keep their result in registers and their operands in the second-level cache:
 * a block of samples is finished, forward and backward, before the next one is touched. What a
 * matrix library must write out and read again (pre-activations, gate, residual times input) never
 * leaves the cache here.
 *
 * Layout: x (samples, fan_in), w and drive (fan_in, particles), the rest vectors. f, drive and bias
 * may be NULL. `work` needs relu_work(fan_in, particles) floats. No global state: threads may call
 * this at the same time with work of their own.
 */

#include <string.h>

#define BLOCK 96

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

long relu_work(long fan_in, long particles) {
    const long padded = particles + 32;
    return padded * (2 * fan_in + 2 + BLOCK) + BLOCK * 17;
}

void relu_chain(const float *x, const float *y, const float *w, const float *a, const float *s,
                float offset, float scale, long first, long last, long fan_in, long particles,
                float *work, float *f, float *drive, float *bias) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        chain_avx512(x, y, w, a, s, offset, scale, first, last, fan_in, particles, work, f, drive,
                     bias);
    else
        chain_avx2(x, y, w, a, s, offset, scale, first, last, fan_in, particles, work, f, drive,
                   bias);
#elif defined(__aarch64__)
    chain_neon(x, y, w, a, s, offset, scale, first, last, fan_in, particles, work, f, drive, bias);
#endif
}
