#include "base/sha256.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

enum { GROUPS = 16 }; /* of four rounds */

static const uint32_t constants[GROUPS][4] __attribute__((aligned(16))) = {
    {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5},
    {0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5},
    {0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3},
    {0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174},
    {0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc},
    {0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da},
    {0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7},
    {0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967},
    {0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13},
    {0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85},
    {0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3},
    {0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070},
    {0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5},
    {0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3},
    {0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208},
    {0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2},
};

/* Intel's manual: CPUID.1:ECX and CPUID.7.0:EBX */
enum { SSSE3 = 1 << 9, SSE4_1 = 1 << 19, SHA = 1 << 29 };

bool sha256_x86_is_there(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & SSSE3) == 0 ||
        (c & SSE4_1) == 0)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA) != 0;
}

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

/* The eight words a to h as the instructions want them, here and in all names
 * below from the highest lane down. */
struct halves {
    __m128i abef, cdgh;
};

WITH_SHA static struct halves load_state(const uint32_t *state)
{
    const __m128i *words = (const void *)state;
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);

    return (struct halves){_mm_alignr_epi8(cdab, efgh, 8),
                           _mm_blend_epi16(efgh, cdab, 0xf0)};
}

WITH_SHA static void store_state(struct halves s, uint32_t *state)
{
    __m128i *words = (void *)state;
    __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);

    _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

/* The four words that follow the sixteen in w, of which w[i & 3] is oldest. */
WITH_SHA static __m128i next_words(const __m128i w[4], int i)
{
    __m128i newest = w[(i + 3) & 3];
    __m128i sum = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);

    sum = _mm_add_epi32(sum, _mm_alignr_epi8(newest, w[(i + 2) & 3], 4));
    return _mm_sha256msg2_epu32(sum, newest);
}

/* Four rounds, with the words w[i & 3]; puts the next ones into their place. */
WITH_SHA static inline void rounds(struct halves *s, __m128i w[4], int i)
{
    const __m128i *k = (const void *)constants[i];
    __m128i in_two = _mm_add_epi32(w[i & 3], *k);

    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, in_two);
    in_two = _mm_shuffle_epi32(in_two, 0x0e);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, in_two);
    w[i & 3] = next_words(w, i); /* those of the last four are for nothing */
}

WITH_SHA void sha256_x86_round(const uint8_t *block, uint32_t *state)
{
    const __m128i big_endian =
        _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i *in = (const void *)block;
    struct halves begin = load_state(state), s = begin;
    __m128i w[4];

    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128(in + i), big_endian);
    for (int i = 0; i < GROUPS; i += 4)
        for (int j = 0; j < 4; j++)
            rounds(&s, w, i + j);
    s.abef = _mm_add_epi32(s.abef, begin.abef);
    s.cdgh = _mm_add_epi32(s.cdgh, begin.cdgh);
    store_state(s, state);
}

/* Asked once, before main: CPUID is a trap into the hypervisor of a guest. */
static bool has_sha;

__attribute__((constructor)) static void find_sha(void)
{
    has_sha = sha256_x86_is_there();
}

void br_sha2small_round(const uint8_t *block, uint32_t *state)
{
    if (has_sha)
        sha256_x86_round(block, state);
    else
        br_sha2small_round_portable(block, state);
}

#else

void br_sha2small_round(const uint8_t *block, uint32_t *state)
{
    br_sha2small_round_portable(block, state);
}

#endif
