/* The kernel for one vector length, included once for each instruction set by relu.c, which defines
 *
 *   NAME(x)      suffix of the functions
 *   TARGET       function attribute that selects the instruction set
 *   LANES        floats in a vector
 *   ROWS         rows of a register tile; 2 * ROWS + 3 vectors must fit the register file
 *
 * Memory layout of the tiles: neurons form panels of WIDTH = 2 * LANES. A panel is (fan_in, WIDTH)
 * for the weights, (BLOCK, WIDTH) for the activations and (fan_in, WIDTH) for the gradient, each
 * contiguous, so that every inner loop reads memory in order.
 */

#define WIDTH (2 * LANES)
#define VECTOR NAME(vector)
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float VECTOR __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int NAME(mask) __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE VECTOR NAME(load)(const float *from) { return *(const VECTOR *)from; }
INLINE void NAME(store)(float *to, VECTOR value) { *(VECTOR *)to = value; }

/* max(value, 0); compilers turn the mask into a maximum or a masked move. */
INLINE VECTOR NAME(relu)(VECTOR value) {
    return (VECTOR)((NAME(mask))value & (value > 0));
}

/* z = relu(x w) for `rows` samples and one panel; adds z a to the partial sums of the output. */
INLINE void NAME(forward)(const int rows, const float *x, long fan_in, const float *w,
                          const float *a, float *z, float *partial) {
    VECTOR low[ROWS], high[ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) low[i] = high[i] = (VECTOR){0};
    for (long k = 0; k < fan_in; k++) {
        const VECTOR w_low = NAME(load)(w + k * WIDTH), w_high = NAME(load)(w + k * WIDTH + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const float input = x[i * fan_in + k];
            low[i] += input * w_low;
            high[i] += input * w_high;
        }
    }
    const VECTOR a_low = NAME(load)(a), a_high = NAME(load)(a + LANES);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        low[i] = NAME(relu)(low[i]);
        high[i] = NAME(relu)(high[i]);
        NAME(store)(z + i * WIDTH, low[i]);
        NAME(store)(z + i * WIDTH + LANES, high[i]);
        float *here = partial + i * LANES;
        NAME(store)(here, NAME(load)(here) + low[i] * a_low + high[i] * a_high);
    }
}

/* z becomes the coefficient (r + s z) [z > 0] of the input in the gradient. */
INLINE void NAME(backward_coefficient)(float *z, const float *residual, const float *s, long rows) {
    const VECTOR s_low = NAME(load)(s), s_high = NAME(load)(s + LANES);
    for (long i = 0; i < rows; i++) {
        const VECTOR low = NAME(load)(z + i * WIDTH), high = NAME(load)(z + i * WIDTH + LANES);
        const VECTOR r = (VECTOR){0} + residual[i];
        const VECTOR c_low = r + s_low * low, c_high = r + s_high * high;
        NAME(store)(z + i * WIDTH, (VECTOR)((NAME(mask))c_low & (low > 0)));
        NAME(store)(z + i * WIDTH + LANES, (VECTOR)((NAME(mask))c_high & (high > 0)));
    }
}

/* Add sum_mu x_mu,j c_mu over `samples` samples of one panel, for `rows` inputs j from x on. */
INLINE void NAME(backward)(const int rows, const float *x, long fan_in, const float *c,
                           long samples, float *gradient) {
    VECTOR low[ROWS], high[ROWS];
#pragma GCC unroll 16
    for (int j = 0; j < rows; j++) {
        low[j] = NAME(load)(gradient + j * WIDTH);
        high[j] = NAME(load)(gradient + j * WIDTH + LANES);
    }
    for (long i = 0; i < samples; i++) {
        const VECTOR c_low = NAME(load)(c + i * WIDTH), c_high = NAME(load)(c + i * WIDTH + LANES);
#pragma GCC unroll 16
        for (int j = 0; j < rows; j++) {
            const float input = x[i * fan_in + j];
            low[j] += input * c_low;
            high[j] += input * c_high;
        }
    }
#pragma GCC unroll 16
    for (int j = 0; j < rows; j++) {
        NAME(store)(gradient + j * WIDTH, low[j]);
        NAME(store)(gradient + j * WIDTH + LANES, high[j]);
    }
}

/* Copy `rows` rows of `columns` numbers into panels, the last one padded with zeros. */
TARGET static void NAME(pack)(const float *from, long rows, long columns, float *to) {
    for (long at = 0; at < columns; at += WIDTH, to += rows * WIDTH) {
        const long here = columns - at < WIDTH ? columns - at : WIDTH;
        for (long k = 0; k < rows; k++) {
            memcpy(to + k * WIDTH, from + k * columns + at, here * sizeof(float));
            memset(to + k * WIDTH + here, 0, (WIDTH - here) * sizeof(float));
        }
    }
}

TARGET static void NAME(unpack)(const float *from, long rows, long columns, float *to) {
    for (long at = 0; at < columns; at += WIDTH, from += rows * WIDTH) {
        const long here = columns - at < WIDTH ? columns - at : WIDTH;
        for (long k = 0; k < rows; k++)
            memcpy(to + k * columns + at, from + k * WIDTH, here * sizeof(float));
    }
}

/* Turn the sum over the samples of one panel, in gradient, into the results:
 * readout = gain * (w . sum) and gradient = gain * a * sum. */
INLINE void NAME(weigh)(const float *w, const float *a, float gain, long fan_in, float *gradient,
                        float *readout) {
    const VECTOR a_low = gain * NAME(load)(a), a_high = gain * NAME(load)(a + LANES);
    VECTOR low = {0}, high = {0};
    for (long k = 0; k < fan_in; k++, w += WIDTH, gradient += WIDTH) {
        const VECTOR g_low = NAME(load)(gradient), g_high = NAME(load)(gradient + LANES);
        low += NAME(load)(w) * g_low;
        high += NAME(load)(w + LANES) * g_high;
        NAME(store)(gradient, a_low * g_low);
        NAME(store)(gradient + LANES, a_high * g_high);
    }
    NAME(store)(readout, gain * low);
    NAME(store)(readout + LANES, gain * high);
}

/* Forward pass of the samples of a block and one panel, with tiles of products. */
INLINE void NAME(forward_block)(const float *x, long samples, long fan_in, const float *w,
                                const float *a, float *z, float *partial) {
    long i = 0;
    for (; i + ROWS <= samples; i += ROWS)
        NAME(forward)(ROWS, x + i * fan_in, fan_in, w, a, z + i * WIDTH, partial + i * LANES);
    for (; i + 4 <= samples; i += 4)
        NAME(forward)(4, x + i * fan_in, fan_in, w, a, z + i * WIDTH, partial + i * LANES);
    for (; i < samples; i++)
        NAME(forward)(1, x + i * fan_in, fan_in, w, a, z + i * WIDTH, partial + i * LANES);
}

/* Backward pass of the samples of a block and one panel, with tiles of products. */
INLINE void NAME(backward_block)(const float *x, long samples, long fan_in, float *z,
                                 const float *residual, const float *s, float *gradient) {
    NAME(backward_coefficient)(z, residual, s, samples);
    long j = 0;
    for (; j + ROWS <= fan_in; j += ROWS)
        NAME(backward)(ROWS, x + j, fan_in, z, samples, gradient + j * WIDTH);
    /* The remaining inputs use tiles of 6, 3 and 1: 35 is 2 * 12 + 6 + 3 + 2. */
    for (; ROWS > 6 && j + 6 <= fan_in; j += 6)
        NAME(backward)(6, x + j, fan_in, z, samples, gradient + j * WIDTH);
    for (; j + 3 <= fan_in; j += 3)
        NAME(backward)(3, x + j, fan_in, z, samples, gradient + j * WIDTH);
    for (; j < fan_in; j++)
        NAME(backward)(1, x + j, fan_in, z, samples, gradient + j * WIDTH);
}

#include "signs.h"

/* See relu.c for the arguments. */
TARGET static void NAME(chain)(const struct sums *ask, long first, long last, float *work) {
    const long fan_in = ask->fan_in, particles = ask->particles, groups = ask->groups;
    const long panels = (particles + WIDTH - 1) / WIDTH, padded = panels * WIDTH;
    /* The backward pass needs z again for the self-energy, but only the gates for a network. */
    const int gated = ask->codes && !ask->s;
    const long most = gated ? GATED_BLOCK : ask->codes ? CODED_BLOCK : BLOCK;
    const long block = last - first < most ? last - first : most;
    const long kept = gated ? 1 : WIDTH; /* numbers kept per sample and panel */
    float *w_panel = work, *a_panel = w_panel + padded * fan_in, *s_panel = a_panel + padded;
    float *z = s_panel + padded, *partial = z + block * panels * kept;
    float *residual = partial + block * LANES;
    float *gradient = residual + block, *table = gradient + padded * fan_in;
    float *entries = table + groups * ENTRIES * WIDTH;
    const float *y = ask->y;
    NAME(pack)(ask->w, fan_in, particles, w_panel);
    NAME(pack)(ask->a, 1, particles, a_panel);
    if (ask->drive) {
        memset(gradient, 0, padded * fan_in * sizeof(float));
        if (ask->codes) memset(entries, 0, groups * ENTRIES * WIDTH * sizeof(float));
        if (ask->s) NAME(pack)(ask->s, 1, particles, s_panel);
        else memset(s_panel, 0, padded * sizeof(float));
    }
    double total = 0;
    for (long at = first; at < last; at += block) {
        const long samples = last - at < block ? last - at : block;
        const float *x = ask->x + at * fan_in;
        const unsigned char *codes = ask->codes ? ask->codes + at * groups : 0;
        memset(partial, 0, samples * LANES * sizeof(float));
        for (long panel = 0; panel < panels; panel++) {
            const float *w = w_panel + panel * fan_in * WIDTH, *a = a_panel + panel * WIDTH;
            float *z_here = z + panel * block * kept;
            if (codes) NAME(tabulate)(w, fan_in, groups, table);
            if (gated) NAME(look_up)(groups, codes, samples, table, a, 0, (unsigned *)z_here, partial);
            else if (codes) NAME(look_up)(groups, codes, samples, table, a, z_here, 0, partial);
            else NAME(forward_block)(x, samples, fan_in, w, a, z_here, partial);
        }
        for (long i = 0; i < samples; i++) {
            float sum = 0;
            for (int lane = 0; lane < LANES; lane++) sum += partial[i * LANES + lane];
            residual[i] = ask->scale * sum + ask->offset;
            if (ask->f) ask->f[at + i] = residual[i];
            if (y) residual[i] -= y[at + i];
            total += residual[i];
        }
        if (!ask->drive) continue;
        for (long panel = 0; panel < panels; panel++) {
            float *z_here = z + panel * block * kept, *g = gradient + panel * fan_in * WIDTH;
            const float *s = s_panel + panel * WIDTH;
            if (gated) NAME(scatter)(groups, codes, samples, 0, (unsigned *)z_here, residual, s, entries);
            else if (codes) NAME(scatter)(groups, codes, samples, z_here, 0, residual, s, entries);
            else NAME(backward_block)(x, samples, fan_in, z_here, residual, s, g);
            if (codes) NAME(collect)(fan_in, groups, entries, g);
        }
    }
    if (ask->drive) {
        float *readout = s_panel; /* the coupling is no longer needed */
        for (long panel = 0; panel < panels; panel++) {
            const long here = panel * fan_in * WIDTH;
            NAME(weigh)(w_panel + here, a_panel + panel * WIDTH, ask->gain, fan_in, gradient + here,
                        readout + panel * WIDTH);
        }
        NAME(unpack)(gradient, fan_in, particles, ask->drive);
        NAME(unpack)(readout, 1, particles, ask->readout);
    }
    if (ask->bias) *ask->bias = (float)total;
}

#undef WIDTH
#undef VECTOR
#undef INLINE
