/* The kernel for inputs of +-1 and one vector length; included by tile.h, whose names it uses.
 *
 * Five inputs of +-1 have only 32 combinations. So a panel of neurons has, for each group of five
 * inputs, a table of the 32 partial sums: the forward pass adds one entry per group instead of five
 * products, and the backward pass adds the coefficient of a sample to one entry per group and sorts
 * the entries into the five gradients once per block of samples ("the method of the four Russians",
 * Arlazarov, Dinic, Kronrod and Faradzev 1970, for real matrices times matrices of +-1). 35 inputs
 * cost 7 additions in each direction instead of 35 multiplications and additions.
 *
 * A table is (groups, 32, WIDTH): 28 KiB for 35 inputs with AVX-512, which stays in the first-level
 * cache. The code of a group has bit j set if its input j is +1. Inputs beyond the last one have
 * weight zero.
 */

/* The table of one panel of weights (fan_in, WIDTH). */
INLINE void NAME(tabulate)(const float *w, long fan_in, long groups, float *table) {
    for (long g = 0; g < groups; g++, table += ENTRIES * WIDTH) {
        VECTOR low = {0}, high = {0};
        for (long j = 5 * g; j < fan_in && j < 5 * g + 5; j++) {
            low -= NAME(load)(w + j * WIDTH);
            high -= NAME(load)(w + j * WIDTH + LANES);
        }
        NAME(store)(table, low);
        NAME(store)(table + LANES, high);
        for (long bit = 0; bit < 5; bit++) {
            const long j = 5 * g + bit, known = 1 << bit;
            VECTOR up_low = {0}, up_high = {0};
            if (j < fan_in) {
                up_low = 2 * NAME(load)(w + j * WIDTH);
                up_high = 2 * NAME(load)(w + j * WIDTH + LANES);
            }
            for (long e = 0; e < known; e++) {
                const float *from = table + e * WIDTH;
                float *to = table + (e + known) * WIDTH;
                NAME(store)(to, NAME(load)(from) + up_low);
                NAME(store)(to + LANES, NAME(load)(from + LANES) + up_high);
            }
        }
    }
}

/* The lanes above 0, one bit each; and, below, a value in these lanes with 0 in the others. */
INLINE unsigned NAME(open)(VECTOR z) {
#if defined(__x86_64__) && LANES == 16
    return _mm512_cmp_ps_mask((__m512)z, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined(__x86_64__) && LANES == 8
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)z, _mm256_setzero_ps(), _CMP_GT_OQ));
#else
    unsigned bits = 0;
    for (int lane = 0; lane < LANES; lane++) bits |= (unsigned)(z[lane] > 0) << lane;
    return bits;
#endif
}

INLINE VECTOR NAME(gated)(unsigned bits, float value) {
#if defined(__x86_64__) && LANES == 16
    return (VECTOR)_mm512_maskz_mov_ps((__mmask16)bits, _mm512_set1_ps(value));
#else
    NAME(mask) lanes;
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = 1 << lane;
    const NAME(mask) all = (NAME(mask)){0} + (int)bits;
    return (VECTOR)((NAME(mask))((VECTOR){0} + value) & ((all & lanes) != 0));
#endif
}

/* relu(x w) for one panel, from its table, written into z; if z is NULL only the active neurons are
 * recorded, one bit each. Adds relu(x w) a to the partial sums of the output. */
INLINE void NAME(look_up_groups)(const int groups, const unsigned char *codes, long samples,
                          const float *table, const float *a, float *z, unsigned *gates,
                          float *partial) {
    const VECTOR a_low = NAME(load)(a), a_high = NAME(load)(a + LANES);
    for (long i = 0; i < samples; i++, codes += groups) {
        VECTOR low = NAME(load)(table + codes[0] * WIDTH);
        VECTOR high = NAME(load)(table + codes[0] * WIDTH + LANES);
#pragma GCC unroll 8
        for (int g = 1; g < groups; g++) {
            const float *entry = table + (g * ENTRIES + codes[g]) * WIDTH;
            low += NAME(load)(entry);
            high += NAME(load)(entry + LANES);
        }
        if (gates) gates[i] = NAME(open)(low) | NAME(open)(high) << LANES;
        low = NAME(relu)(low);
        high = NAME(relu)(high);
        if (z) {
            NAME(store)(z + i * WIDTH, low);
            NAME(store)(z + i * WIDTH + LANES, high);
        }
        float *here = partial + i * LANES;
        NAME(store)(here, NAME(load)(here) + low * a_low + high * a_high);
    }
}

/* Add (r + s z) [z > 0] of every sample to its entries in the table of one panel; with gates in
 * place of z, add r where they are open. */
INLINE void NAME(scatter_groups)(const int groups, const unsigned char *codes, long samples,
                          const float *z, const unsigned *gates, const float *residual,
                          const float *s, float *table) {
    const VECTOR s_low = NAME(load)(s), s_high = NAME(load)(s + LANES);
    for (long i = 0; i < samples; i++, codes += groups) {
        VECTOR c_low, c_high;
        if (gates) {
            c_low = NAME(gated)(gates[i], residual[i]);
            c_high = NAME(gated)(gates[i] >> LANES, residual[i]);
        } else {
            const VECTOR low = NAME(load)(z + i * WIDTH), high = NAME(load)(z + i * WIDTH + LANES);
            const VECTOR r = (VECTOR){0} + residual[i];
            c_low = (VECTOR)((NAME(mask))(r + s_low * low) & (low > 0));
            c_high = (VECTOR)((NAME(mask))(r + s_high * high) & (high > 0));
        }
#pragma GCC unroll 8
        for (int g = 0; g < groups; g++) {
            float *entry = table + (g * ENTRIES + codes[g]) * WIDTH;
            NAME(store)(entry, NAME(load)(entry) + c_low);
            NAME(store)(entry + LANES, NAME(load)(entry + LANES) + c_high);
        }
    }
}

/* A constant number of groups lets the compiler unroll the loop over them. */
INLINE void NAME(look_up)(long groups, const unsigned char *codes, long samples, const float *table,
                          const float *a, float *z, unsigned *gates, float *partial) {
    if (groups == 7) NAME(look_up_groups)(7, codes, samples, table, a, z, gates, partial);
    else NAME(look_up_groups)((int)groups, codes, samples, table, a, z, gates, partial);
}

INLINE void NAME(scatter)(long groups, const unsigned char *codes, long samples, const float *z,
                          const unsigned *gates, const float *residual, const float *s,
                          float *table) {
    if (groups == 7) NAME(scatter_groups)(7, codes, samples, z, gates, residual, s, table);
    else NAME(scatter_groups)((int)groups, codes, samples, z, gates, residual, s, table);
}

/* Sort the entries of a table into the gradient (fan_in, WIDTH) of one panel, and clear it. */
INLINE void NAME(collect)(long fan_in, long groups, float *table, float *gradient) {
    for (long g = 0; g < groups; g++, table += ENTRIES * WIDTH) {
        /* Input 4 splits the entries into halves; their sum has the other inputs, and so on. */
        for (long bit = 4; bit >= 0; bit--) {
            const long j = 5 * g + bit, half = 1 << bit;
            VECTOR low = {0}, high = {0};
            for (long e = 0; e < half; e++) {
                float *minus = table + e * WIDTH, *plus = table + (e + half) * WIDTH;
                const VECTOR m_low = NAME(load)(minus), m_high = NAME(load)(minus + LANES);
                const VECTOR p_low = NAME(load)(plus), p_high = NAME(load)(plus + LANES);
                low += p_low - m_low;
                high += p_high - m_high;
                NAME(store)(minus, p_low + m_low);
                NAME(store)(minus + LANES, p_high + m_high);
            }
            if (j >= fan_in) continue;
            float *to = gradient + j * WIDTH;
            NAME(store)(to, NAME(load)(to) + low);
            NAME(store)(to + LANES, NAME(load)(to + LANES) + high);
        }
        memset(table, 0, ENTRIES * WIDTH * sizeof(float));
    }
}
