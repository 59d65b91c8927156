/* Normal numbers for one vector length, included once for each instruction set by normal.c, which
 * defines NAME, TARGET and LANES as for tile.h.
 *
 * A block has 16 counters, one per lane; each counter gives four words of 32 bits and two pairs of
 * normal numbers, so that a block has 64 numbers, which do not depend on the vector length.
 */

#define WORDS NAME(words)
#define FLOATS NAME(floats)
#define INTS NAME(ints)
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef uint64_t WORDS __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float FLOATS __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t INTS __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t NAME(unsigned_ints) __attribute__((vector_size(4 * LANES), aligned(4)));

/* Products of the lower 32 bits of each lane. */
INLINE WORDS NAME(product)(WORDS a, uint32_t b) {
#if defined(__x86_64__) && LANES == 16
    return (WORDS)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__x86_64__)
    return (WORDS)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#else
    return (a & 0xffffffffu) * b;
#endif
}

INLINE FLOATS NAME(root)(FLOATS x) {
#if defined(__x86_64__) && LANES == 16
    return (FLOATS)_mm512_sqrt_ps((__m512)x);
#elif defined(__x86_64__)
    return (FLOATS)_mm256_sqrt_ps((__m256)x);
#else
    for (int lane = 0; lane < LANES; lane++) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
#endif
}

/* Philox 4x32-10 on half as many counters as lanes; the upper half of each word is unused. */
INLINE void NAME(philox)(WORDS *c, uint64_t key) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const WORDS p0 = NAME(product)(c[0], 0xD2511F53u), p1 = NAME(product)(c[2], 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[1] = p1;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[3] = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* -2 log(u) for u in (0, 1], by log(m) = 2 artanh((m-1)/(m+1)) on [1/sqrt 2, sqrt 2]. */
INLINE FLOATS NAME(minus_two_log)(FLOATS u) {
    INTS bits = (INTS)u;
    const INTS exponent = (bits - 0x3f3504f3) >> 23; /* 1/sqrt 2 */
    bits -= exponent << 23;
    const FLOATS m = (FLOATS)bits, s = (m - 1) / (m + 1), q = s * s;
    const FLOATS series = 1 + q * (1.f / 3 + q * (1.f / 5 + q * (1.f / 7 + q * (1.f / 9))));
    return -1.38629436f * __builtin_convertvector(exponent, FLOATS) - 4 * s * series;
}

/* Two normal numbers from two words, by Box and Muller. The upper 24 bits of the second word are an
 * angle within 45 degrees of an axis, and its lowest two bits choose one of the four axes. */
INLINE void NAME(pair)(INTS first, INTS second, float *cosine, float *sine) {
    const INTS upper = (INTS)((NAME(unsigned_ints))first >> 8);
    const FLOATS u = __builtin_convertvector(upper, FLOATS) * 0x1p-24f + 0x1p-25f;
    const FLOATS radius = NAME(root)(NAME(minus_two_log)(u));
    const FLOATS angle = __builtin_convertvector(second >> 8, FLOATS) * (float)(0x1p-25 * 3.14159265358979);
    const FLOATS q = angle * angle;
    const FLOATS s = angle * (1 + q * (-1.f / 6 + q * (1.f / 120 + q * (-1.f / 5040 + q * (1.f / 362880)))));
    const FLOATS c = 1 + q * (-1.f / 2 + q * (1.f / 24 + q * (-1.f / 720 + q * (1.f / 40320 - q * (1.f / 3628800)))));
    const INTS signed_c = (INTS)(radius * c) ^ ((second << 30) & INT32_MIN);
    const INTS plain_s = (INTS)(radius * s), swap = -(second & 1);
    *(INTS *)cosine = (signed_c & ~swap) | (plain_s & swap);
    *(INTS *)sine = (plain_s & ~swap) | (signed_c & swap);
}

TARGET static void NAME(normal)(float *out, long count, uint64_t key) {
    float rest[64];
    for (long at = 0; at < count; at += 64) {
        float *to = count - at < 64 ? rest : out + at;
        for (int part = 0; part < 16; part += LANES) {
            /* Counters of the even and of the odd lanes. */
            WORDS places = {0};
            for (int lane = 0; lane < LANES / 2; lane++) places[lane] = 2 * lane;
            places += (uint64_t)(at / 4 + part);
            WORDS even[4] = {places}, odd[4] = {places + 1};
            NAME(philox)(even, key);
            NAME(philox)(odd, key);
            INTS word[4];
            for (int k = 0; k < 4; k++)
                word[k] = (INTS)((even[k] & 0xffffffffu) | odd[k] << 32);
            NAME(pair)(word[0], word[1], to + part, to + 16 + part);
            NAME(pair)(word[2], word[3], to + 32 + part, to + 48 + part);
        }
        if (to == rest) memcpy(out + at, rest, (count - at) * sizeof(float));
    }
}

#undef WORDS
#undef FLOATS
#undef INTS
#undef INLINE
