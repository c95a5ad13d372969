#include "base/ec.h"

#include <stdbool.h>
#include <string.h>

#include <bearssl_rand.h>

#include "base/bytes.h"
#include "base/ec_limbs.h"
#include "base/wipe.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/*
 * Numbers are four 64-bit limbs, the lowest first, always below their modulus
 * m, and mostly in Montgomery form: x is kept as x * 2^256 mod m. No branch
 * and no address depends on a number, but for what a name or a comment calls
 * public.
 */
enum {
    LIMBS = 4,
    NUM_LEN = EC_P256_LEN,
    WINDOW = 4, /* bits of an exponent taken at once */
    WINDOW_DIGITS = 16,
    TEETH = 5,         /* bits of a scalar that the comb takes at once */
    COMB_POINTS = 31,  /* what its teeth select, but for none */
    COMB_SPACING = 52, /* bits between two teeth */
    COMB_HALF = 26,    /* columns between its two tables */
    ASN1_MORE = 9      /* bytes that ASN.1 adds to a signature, at most */
};

struct num {
    uint64_t w[LIMBS];
};

struct modulus {
    struct num m;
    struct num square; /* 2^512 mod m: brings a number into Montgomery form */
    uint64_t inverse;  /* -1/m mod 2^64 */
};

/* The field, 2^256 - 2^224 + 2^192 + 2^96 - 1. */
static const struct modulus field = {
    .m = {{0xffffffffffffffff, 0x00000000ffffffff, 0x0000000000000000,
           0xffffffff00000001}},
    .square = {{0x0000000000000003, 0xfffffffbffffffff, 0xfffffffffffffffe,
                0x00000004fffffffd}},
    .inverse = 1};

/* The order of the generator. */
static const struct modulus order = {
    .m = {{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff,
           0xffffffff00000000}},
    .square = {{0x83244c95be79eea2, 0x4699799c49bd6fa6, 0x2845b2392b6bec59,
                0x66e12d94f3d95620}},
    .inverse = 0xccd1c8aaee00bc4f};

/* 1 and the curve's b, in Montgomery form. */
static const struct num field_one = {{0x0000000000000001, 0xffffffff00000000,
                                      0xffffffffffffffff, 0x00000000fffffffe}};
static const struct num curve_b = {{0xd89cdf6229c4bddf, 0xacf005cd78843090,
                                    0xe5a220abf7212ed6, 0xdc30061d04874834}};

/* Homogeneous coordinates: (x / z, y / z); z = 0 is the point at infinity. */
struct point {
    struct num x, y, z;
};

struct affine {
    struct num x, y;
};

/*
 * Multiples of the generator: [h][d - 1] is the sum of 2^(52 i + 26 h) over
 * the bits i of d.
 */
static const struct affine comb[2][COMB_POINTS] = {
    {
        {{{0x79e730d418a9143c, 0x75ba95fc5fedb601, 0x79fb732b77622510,
           0x18905f76a53755c6}},
         {{0xddf25357ce95560a, 0x8b4ab8e4ba19e45c, 0xd2e88688dd21f325,
           0x8571ff1825885d85}}},
        {{{0x83f49167ceca9754, 0x426d2cf64b7939a0, 0x2555e355723fd0bf,
           0xa96e6d06c4f144e2}},
         {{0x4768a8dd87880e61, 0x15543815e508e4d5, 0x09d7e772b1b65e15,
           0x63439dd6ac302fa0}}},
        {{{0xf2675562a0be5d0e, 0x4b524d254d1bb068, 0xbc2c5ff2a9b75b8c,
           0x4f326643d9a6f548}},
         {{0x50dd68441258835e, 0x7d21beee676090e0, 0xb0b62c65f4a17b42,
           0x60dfae28b3cec3b0}}},
        {{{0x20d3c982cf7d62d2, 0x1f36e29d23ba8150, 0x48ae0bf092763f9e,
           0x7a527e6b1d3a7007}},
         {{0xb4a89097581a85e3, 0x1f1a520fdc158be5, 0xf98db37d167d726e,
           0x8802786e1113e862}}},
        {{{0x531e7b64b113f918, 0x26b5d70a920a681d, 0x04e52f8f24c37044,
           0xbc7c9542bb7c375b}},
         {{0xb63a044bf2e26375, 0xd842a342e922a3d0, 0x9eed2ecaa9292d57,
           0xfe27d2c249ac7832}}},
        {{{0xedbd7944f24aab7e, 0x56e51d9ecd1a1921, 0x11c63188962dae55,
           0x37090565326acd14}},
         {{0xc436e587d71ed134, 0x3d96ac3aad89b461, 0xcdf570bcdcb718bb,
           0xaaa490e9dcfabde2}}},
        {{{0xb0ab54010b639942, 0xa6e12f5719379664, 0xc535f8b41d040abc,
           0xef255c54a75eef24}},
         {{0xb236f734aeceb0ea, 0x38fcc8c19d879e2f, 0x674d8fdc180cacab,
           0x0a18bad4f624df06}}},
        {{{0x488f1185ca8d9d1a, 0xadf2c77dd987ded2, 0x5f3039f060c46124,
           0xe5d70b7571e095f4}},
         {{0x82d586506260e70f, 0x39d75ea7f750d105, 0x8cf3d0b175bac364,
           0xf3a7564d21d01329}}},
        {{{0x83fc809160530d0a, 0x58c24f527bc23dc8, 0xecde2f1fa653af5a,
           0xb2e2a374b10e511e}},
         {{0xf0c54b329bebe1e4, 0x239c25dfade42270, 0xd866f55e9f22b433,
           0x1e513ca2ed17efd3}}},
        {{{0x66313dc85bc98e0d, 0xb13fe4e69a256888, 0x74816589ecd6e280,
           0xdee13cde5ba88474}},
         {{0xae4e1872c53bc78d, 0x9b79904a2f08a464, 0xef6e5ce29da51935,
           0x9e58df82083c47ea}}},
        {{{0x4e066713f5a32632, 0x431f75d44b36f498, 0x40ae279f70bd5f07,
           0x252cdb93239ec23d}},
         {{0xc18dddf87312a246, 0x5b77673c23a9e561, 0x020f09c31715fede,
           0xabef6451a580cfc5}}},
        {{{0x3c8bc3bff2a0d962, 0x59f856ee3405a8aa, 0x2fb6590cb3dc5948,
           0xc8aa740ced85740e}},
         {{0xf8081cfbe9aafe19, 0xf7d2e1f32534800d, 0x355148c28d78d247,
           0xaf0dc5a4d1557399}}},
        {{{0x34dfbfc4c7f68782, 0x2c6a80d608ac2685, 0x5479e1bc08d0255b,
           0x42eb9de09110c616}},
         {{0x97991dd810b4acba, 0xf36acc8f94d997c7, 0xd05ad78b69ddc036,
           0x1ac7e528e68b4243}}},
        {{{0xdd9f8a00e82c8e2a, 0x104b85c621f80126, 0x1997228d5b17a522,
           0x706e5ec3923d0bd0}},
         {{0x00c6af271dc33622, 0xb3bc76c8271f09e1, 0xec1b7c0be36e325a,
           0x128200e268f12bfe}}},
        {{{0x8e86cb3da8636d07, 0xc79c42ac2be46da2, 0xed70e08aaa01e0e1,
           0x773579fce3b69272}},
         {{0xbc0fe5554d8464c3, 0x9e87a057cf54e071, 0xda655b0a3913b1d3,
           0x052774d49a55dba4}}},
        {{{0x75d9bc15adf7cccf, 0x81a3e5d6dfa1e1b0, 0x8c39e444249bc17e,
           0xf37dccb28ea7fd43}},
         {{0xda654873907fba12, 0x35daa6da4a372904, 0x0564cfc66283a6c5,
           0xd09fa4f64a9395bf}}},
        {{{0xb1f5c026e37542ca, 0x0b860cf372e01034, 0x3a7c10e4025289f2,
           0xd2197d5f92901032}},
         {{0xfa06f835267ca2f6, 0x8fcb9a29bf6e43aa, 0x465f6c117ed9f8e7,
           0x8a50a5b3e6077aaf}}},
        {{{0xad76c703d2b59e85, 0x0a2306459204c53f, 0x9bbc0bc44a9f1335,
           0x71603515d0a967e9}},
         {{0x8b6d6d6ea0205375, 0x6310418351ad76de, 0x5abfbc21aabbd0ac,
           0x61fb45c3c71f3060}}},
        {{{0x579345df1d323961, 0x45b79ead94cd3bc4, 0x50b664be423668d2,
           0x19dd5b7542bc26ea}},
         {{0xc7c1fbaa3677ae8f, 0x7b2e711a5d033158, 0x8aecb50a8942ac93,
           0xe255438b8a16718c}}},
        {{{0x8025364233396533, 0x82cb33a72c5ad150, 0x7c147998070ca168,
           0x077912536aac6636}},
         {{0x160003ae7c78be24, 0xbba9fe68a30eeabf, 0x16c31c403073f0ed,
           0xd329cd28789caeca}}},
        {{{0x840dbcbf7972bcdf, 0xb5c8444fbd11900c, 0x78b2b29016520cee,
           0xe19f13a3be88d914}},
         {{0x052ddc8949d3c0df, 0xc9fc183ce0b4224b, 0x2c8dd074cf31e0bb,
           0x872c7b95a26b1441}}},
        {{{0xed93585d74c8a327, 0xf2fb7d0806be87ca, 0x707d83ca84e36244,
           0x037f499d3efa6833}},
         {{0xf3218d4299bf5dde, 0xbe0a81c069ff7ce3, 0x068fbbea9eb7d4c0,
           0xf4ef6609e6938c78}}},
        {{{0x202e5c5acb22715e, 0x88e93d23288f8243, 0xdf1d1f52dc7eace6,
           0xc6b38b3b373183f8}},
         {{0x77798b7f3eac9c4b, 0xa9d37dff6bfa9835, 0xaff4a447faac41c9,
           0xf14fd13c0fcb6036}}},
        {{{0xef5ee27d49ccc093, 0x7ff3263d40d359a3, 0x885d1942c6d6c0ea,
           0x925abba328c97fee}},
         {{0xd73834805d95f52d, 0x6979981c4eb691db, 0x6544e8ae553a29c6,
           0x28324ef85043559f}}},
        {{{0xd6c8e4b7300c0e39, 0x37ad4a1a3e37f58a, 0x763330f5e5e8cdfb,
           0x62bf8c2c870ea133}},
         {{0x03fbc63a763ccac9, 0xc889d8a5fb1886c0, 0xf0486de5be49d9fe,
           0xaf9a877862c23338}}},
        {{{0x8a43a2a176aa81b3, 0x896021298a0cc3d2, 0x49d311e8821f6640,
           0x8035608f5c734ae4}},
         {{0xa7be0561349adc3b, 0x328525b296a337b5, 0x575413c36bccf78a,
           0x6c7292ec4854960f}}},
        {{{0x121e6a713c2943ff, 0x0468565c6374c47e, 0xd66fe9932826f138,
           0x4e2cfaf17748e3ac}},
         {{0xe9baaa2c4708a6c8, 0xa3845c8c66ffb5b4, 0xad3e293eb77c8fac,
           0x00b5cfa9440a35e8}}},
        {{{0x3f55f58c63e06277, 0x1a81de8a64ba6e8c, 0x85cfdc74f4cc043b,
           0x7cbefb98048d26e0}},
         {{0x5bde4b3c82aba891, 0x863d8f7586db6f46, 0xc7af5c1f845186c5,
           0x41d7d404cb527cec}}},
        {{{0x3b44699483e1a246, 0x11c5ced4f6b819a2, 0xc79d4660aff79a46,
           0x423bbdc15f22411a}},
         {{0x22652251a964039d, 0x808d6753e738657b, 0xc0ca19e34e909dc8,
           0x0e036e4734ab0d07}}},
        {{{0x233593e77a26f742, 0xddc1c79ffc0f14d9, 0xb33c89802d359358,
           0x51df6155730aacfe}},
         {{0xa9a6066c0f2c0b8d, 0xb92122272e706f80, 0x3994a53296a5efe9,
           0xcf3d168b52316b12}}},
        {{{0xbe47dd5027eafcc0, 0x23df1041ec7e66db, 0x18c977ff78a4dddd,
           0xb51565d79d2d152e}},
         {{0x24f6a6d578f4a4de, 0xbbc15b207d86b2ca, 0xa064d39c1d3b43ca,
           0x5524866752200839}}},
    },
    {
        {{{0xf2369f0b879fbbed, 0x0ff0ae86da9d1869, 0x5251d75956766f45,
           0x4984d8c02be8d0fc}},
         {{0x7ecc95a6d21008f0, 0x29bd54a03a1a1c49, 0xab9828c5d26c50f3,
           0x32c0087c51d0d251}}},
        {{{0x96649933aed1d1f7, 0x566eaff350563090, 0x345057f0ad2e39cf,
           0x148ff65b1f832124}},
         {{0x042e89d4cf94cf0d, 0x319bec84520c58b3, 0x2a2676265361aa0d,
           0xc86fa3028fbc87ad}}},
        {{{0x0b268f56d22f29e5, 0x719eec8a7ab08b3b, 0xad161f7d60d0130f,
           0xc7024ee52008f88b}},
         {{0x3749d68c4b8bdfda, 0x4cb4f9083ee37d69, 0xb3c747da9e465260,
           0x281b90787aaaadc9}}},
        {{{0xb4480f0441c23fa3, 0xb4712eb0c1989a2e, 0x3ccbba0f93a29ca7,
           0x6e205c14d619428c}},
         {{0x90db7957b3641686, 0x0432691d45ac8b4e, 0x07a759acf64e0350,
           0x0514d89c9c972517}}},
        {{{0x3242c77772507cc1, 0xbb765b9ab6e8f987, 0x5e91fba5228b3dc1,
           0x730901a954dc2a2a}},
         {{0x6370a21d828696ae, 0xcc2f490575646bfa, 0x01f114a0237784f1,
           0xf5f89cd0009a4c20}}},
        {{{0x87a2dfc9af8db29f, 0x9154b55d34d974f9, 0x9ceeead07d8467a8,
           0x44e5c167c1a0cc86}},
         {{0x8dd2f35c2be1aaac, 0xefbacc48217c7609, 0x017b66223ebce7cc,
           0xba8cec334c674335}}},
        {{{0xa4d2db9703303e3b, 0xbbdb05dec1b2aae9, 0x0b7733eb55313bc8,
           0x687d086a8a3a23e6}},
         {{0x8a33cfa425b2c566, 0x43a3e99a49d49c37, 0x0919b0fe9fd87530,
           0x199c937fa82c4b51}}},
        {{{0x01079383171b445f, 0x9bcf21e38131ad4c, 0x8cdfe205c93987e8,
           0xe63f4152c92e8c8f}},
         {{0x729462a930add43d, 0x62ebb143c980f05a, 0x4f3954e53b06e968,
           0xfe1d75ad242cf6b1}}},
        {{{0x3e4f0526f4d94635, 0xe188e72d45e58e46, 0x02f92bc3e4ceda38,
           0x1a92aea7aa4b33d5}},
         {{0x1a438ef9866c03ca, 0x69169768a7bf988e, 0x1cb2e6d374a9567e,
           0xdbdedd903580c528}}},
        {{{0x0d94231aaf2e6ebf, 0xa75e011c2be6027a, 0x7d962c91cf6a7ac0,
           0x186659c2ca4862be}},
         {{0x4e9522ac8165cc46, 0xf0efee8a2d4455cc, 0x5c8f94af13748433,
           0x27c55b69234d6dc7}}},
        {{{0x69555846d579c0fc, 0xc85d836e6d84f2a2, 0x011c08edea9dc9dc,
           0x04e67da8bd603a5a}},
         {{0x86fe81e5291e5a86, 0x90a02fa13b2f8734, 0xcfef077c18bcbb29,
           0x768749659439214a}}},
        {{{0x18eb175ac35bb745, 0x4473e59c0d32a3be, 0x2f7318bd7928e292,
           0x32509ca6c8761bc2}},
         {{0xfa311e197408a58e, 0x1cf3fd6d2b21fd58, 0x57d3945b66332647,
           0x4288f14d622f834b}}},
        {{{0x530fd8016fd3b088, 0x2f275d203dffb8a6, 0x80f114af8206c863,
           0x99e6cb8230d71d8b}},
         {{0x1d9d0d6605951494, 0xd58d1195f5103eef, 0x9cc0ded80eb40c4d,
           0x159d671dd9f91ee2}}},
        {{{0x646b05e985e39a97, 0x01abff1e16bc1199, 0x8a61ff22af21ba2a,
           0xa821cc6098f2a5dc}},
         {{0xd52029d98d90096e, 0x0612d47299f3a372, 0x54f79c9f58985289,
           0x0c4963e559a39cd0}}},
        {{{0xd167dc639f735cf1, 0xb500ab7049c000c4, 0xfb87877b8855d474,
           0xaffe8c2ed573cd41}},
         {{0x54466f462e2c9d16, 0x8e26fc026431737f, 0x16949e174132c46e,
           0x15f08bd624dbc94a}}},
        {{{0x9f51439e558df019, 0x230da4baac712b27, 0x518919e355185a24,
           0x4dcefcdd84b78f50}},
         {{0xa7d90fb2a47d4c5a, 0x55ac9abfb30e009e, 0xfd2fc35974eed273,
           0xb72d824cdbea8faf}}},
        {{{0x135642e17d5b7f06, 0x23e3f419bb317c9c, 0x1ba92f6ba9ab3dc8,
           0x5522405f06306027}},
         {{0x9d43cda2b64c41a3, 0x7641ae103b7aa075, 0xd229a5af8c127b54,
           0x8229bd5705a5988f}}},
        {{{0x711848db92e1315e, 0xa4e1d2e7c0a02475, 0x9d78e47082324064,
           0xb75a831b56979321}},
         {{0x55d0ea127f4af529, 0x9cbfadbf8bc9111b, 0x6ff6945a3a54eb2f,
           0x67bf15771053d38a}}},
        {{{0x1a79dc7dd06d0a87, 0xfa2f7833dfc0b72e, 0x2736b5a964f09be1,
           0xae3c9a8fabb29a1d}},
         {{0x46529d35115a58c1, 0xbc95e4e0f9d1ad2c, 0xb3712870d3b8f0ef,
           0xf9af6b968b5a559e}}},
        {{{0xbcc784de215a6e8e, 0xc27a55b9dd5cd28a, 0x26e39ccc408e0b8a,
           0x6ac02fc2a016a9e2}},
         {{0x23af51c958c0b629, 0xc803b5872c04d067, 0x77f50efb69e10d44,
           0x9d235d25e2fc5382}}},
        {{{0x51c331f968ddd750, 0xc295a73452cd7e0f, 0xc823583e7d1c2ced,
           0x46b4573335f6cdda}},
         {{0x29175e1e72424da2, 0x54ea9f95b844983b, 0x493ea1e893590d28,
           0x042ae28b1e8be02a}}},
        {{{0xb81b392c04740732, 0x27f93030c427c246, 0x5476146156fee842,
           0x15594b3f3735f0e9}},
         {{0xb033c0200b88b778, 0xcd26dfa986bcf977, 0x8a49e906c947f4af,
           0x01c04a3128e84244}}},
        {{{0x258bac66e1ceb7c2, 0xf42597584dac8cbb, 0xd50983f2e92ebb1a,
           0xbf120e4eca2ae0d0}},
         {{0xa3e7617e55cd49cd, 0xfd5b07ff71519648, 0xdaae5103afd703ed,
           0xb040ad2e4172130c}}},
        {{{0x805c4d63f56ef20a, 0xae7931ef4eab5b33, 0x5fb6774f816ff923,
           0x22effa67b7770f0e}},
         {{0xb54f3aaae38b79d8, 0x38212dad7178ce07, 0xa99a342a9f5cc57b,
           0x90c9d743f9cd8e4b}}},
        {{{0xa44e8df6b56e4851, 0x03af7ec95098de84, 0xbad114c504ab4ab1,
           0x1e580877dc7f874f}},
         {{0xf378920426b4f612, 0xfa91b8241457c827, 0x38f9a52c75180cab,
           0x809deec3434e8bd0}}},
        {{{0xead816e01f9ec1f4, 0xf9531abdddba779c, 0xe5a7d7653e5ee249,
           0x2a5b125ba45b2404}},
         {{0xd9cd9c0afdf13098, 0xaf2e94bb5d1d5475, 0xf642a92168dd1f79,
           0x838f2d4d28ff1c3b}}},
        {{{0x6c6a83ef8a92c081, 0x407fb0a9e838637d, 0xcf209f0b9acbc6dc,
           0xe77a87298cdabe07}},
         {{0x93f7910f2944ed0d, 0xa14a1f6300aafa33, 0x64619b60796111cc,
           0xf0a78cfe114c6685}}},
        {{{0xb81a504b79c31112, 0x032d6b6fcbe7753e, 0x06b97785ab3a4272,
           0xb88f875d9ceef34d}},
         {{0xe4e2300eb5a4b95a, 0x6a2dde95253f0813, 0x6a49fb8e386594fc,
           0xb6175c5c8813c0f5}}},
        {{{0x51853136b8f6993b, 0x17757fdd99f6300d, 0xa71459a4cd3b39d4,
           0x3c9243c77a7b100e}},
         {{0x65f45baa7b8e2675, 0x27a2701c2c6f3386, 0xfc4965a0c5a639e2,
           0xd8b38ce450da7a2d}}},
        {{{0x0d869bb1d652075b, 0xf1e6e1803cf7853c, 0x1110008e6938a2ed,
           0x2d43fd1d184224bf}},
         {{0xe4c34dfeb98c7d81, 0xc23b9e2ea4cf873f, 0xa4377b7ce8935e89,
           0x1710ac7fb7907059}}},
        {{{0xd4c30e05f9aca1b3, 0x038f18b6a5efc245, 0xab58baa74780d032,
           0x64e42435bdf44dc7}},
         {{0x6156af9b899537d0, 0x8c35ee8831841cb5, 0xaeeda2f061452838,
           0x388434b4b6a1e175}}},
    },
};

/* All ones if a equals b, else 0. */
static inline uint64_t equal_mask(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;

    return opaque(((differ | (0 - differ)) >> 63) - 1);
}

/* r = a where mask is all ones; r stays where it is 0. */
static inline void take(struct num *r, const struct num *a, uint64_t mask)
{
    for (int i = 0; i < LIMBS; i++)
        r->w[i] ^= (r->w[i] ^ a->w[i]) & mask;
}

/* a + b + *carry, and the carry out of it: 0 or 1. */
static inline uint64_t add_carry(uint64_t a, uint64_t b, unsigned char *carry)
{
#ifdef __x86_64__
    unsigned long long sum;

    *carry = _addcarry_u64(*carry, a, b, &sum);
    return sum;
#else
    wide sum = (wide)a + b + *carry;

    *carry = (unsigned char)(sum >> 64);
    return (uint64_t)sum;
#endif
}

/* a - b - *borrow, and the borrow out of it: 0 or 1. */
static inline uint64_t sub_borrow(uint64_t a, uint64_t b, unsigned char *borrow)
{
#ifdef __x86_64__
    unsigned long long difference;

    *borrow = _subborrow_u64(*borrow, a, b, &difference);
    return difference;
#else
    wide difference = (wide)a - b - *borrow;

    *borrow = (unsigned char)(difference >> 64) & 1;
    return (uint64_t)difference;
#endif
}

/* r = a - b mod 2^256; returns 1 if b was greater. */
static inline unsigned char subtract(struct num *r, const struct num *a,
                                     const struct num *b)
{
    unsigned char borrow = 0;

    r->w[0] = sub_borrow(a->w[0], b->w[0], &borrow);
    r->w[1] = sub_borrow(a->w[1], b->w[1], &borrow);
    r->w[2] = sub_borrow(a->w[2], b->w[2], &borrow);
    r->w[3] = sub_borrow(a->w[3], b->w[3], &borrow);
    return borrow;
}

/* r = top * 2^256 + a, less m if it is not below. */
static inline void reduce_once(struct num *r, const struct num *a, uint64_t top,
                               const struct num *m)
{
    struct num less;
    unsigned char borrow = subtract(&less, a, m);

    sub_borrow(top, 0, &borrow);
    uint64_t keep = opaque(0 - (uint64_t)borrow);
    r->w[0] = less.w[0] ^ ((less.w[0] ^ a->w[0]) & keep);
    r->w[1] = less.w[1] ^ ((less.w[1] ^ a->w[1]) & keep);
    r->w[2] = less.w[2] ^ ((less.w[2] ^ a->w[2]) & keep);
    r->w[3] = less.w[3] ^ ((less.w[3] ^ a->w[3]) & keep);
}

static inline void add_mod(struct num *r, const struct num *a,
                           const struct num *b, const struct num *m)
{
    struct num sum;
    unsigned char carry = 0;

    sum.w[0] = add_carry(a->w[0], b->w[0], &carry);
    sum.w[1] = add_carry(a->w[1], b->w[1], &carry);
    sum.w[2] = add_carry(a->w[2], b->w[2], &carry);
    sum.w[3] = add_carry(a->w[3], b->w[3], &carry);
    reduce_once(r, &sum, carry, m);
}

/*
 * t = (t + q m) / 2^64 for the q that makes the lowest limb 0, where t is below
 * 2^320 and the result below 2^257: a step of Montgomery's reduction.
 */
static inline void fold_order(uint64_t t[LIMBS + 1])
{
    const uint64_t *m = order.m.w, q = t[0] * order.inverse;
    wide s = (wide)q * m[0] + t[0];

    s = (wide)q * m[1] + t[1] + (uint64_t)(s >> 64);
    t[0] = (uint64_t)s;
    s = (wide)q * m[2] + t[2] + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)q * m[3] + t[3] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)t[4] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] = (uint64_t)(s >> 64);
}

/* The same mod the field: q is t[0], and q m is q 2^96 + q m[3] 2^192 - q. */
static inline void fold_field(uint64_t t[LIMBS + 1])
{
    const uint64_t q = t[0];
    wide s = (wide)t[1] + (q << 32);

    t[0] = (uint64_t)s;
    s = (wide)t[2] + (q >> 32) + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)q * field.m.w[3] + t[3] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)t[4] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] = (uint64_t)(s >> 64);
}

/* t += a b. */
static inline void accumulate(uint64_t t[LIMBS + 1], const struct num *a,
                              uint64_t b)
{
    wide s = (wide)a->w[0] * b + t[0];

    t[0] = (uint64_t)s;
    s = (wide)a->w[1] * b + t[1] + (uint64_t)(s >> 64);
    t[1] = (uint64_t)s;
    s = (wide)a->w[2] * b + t[2] + (uint64_t)(s >> 64);
    t[2] = (uint64_t)s;
    s = (wide)a->w[3] * b + t[3] + (uint64_t)(s >> 64);
    t[3] = (uint64_t)s;
    t[4] += (uint64_t)(s >> 64);
}

/*
 * r = a b / 2^256 mod m: Montgomery's product, a limb of b at a time. t stays
 * below 2^320, as it is below 2 m before a step, and m below 2^256 - 2^223.
 */
static inline __attribute__((always_inline)) void
multiply_mod(struct num *r, const struct num *a, const struct num *b,
             void (*fold)(uint64_t t[LIMBS + 1]), const struct num *m)
{
    uint64_t t[LIMBS + 1] = {0};

#pragma GCC unroll 4
    for (int i = 0; i < LIMBS; i++) {
        accumulate(t, a, b->w[i]);
        fold(t);
    }
    reduce_once(r, &(struct num){{t[0], t[1], t[2], t[3]}}, t[4], m);
}

/* The field's arithmetic: not inlined, the formulas have dozens of calls. */
static __attribute__((noinline)) void mul(struct num *r, const struct num *a,
                                          const struct num *b)
{
    multiply_mod(r, a, b, fold_field, &field.m);
}

static __attribute__((noinline)) void add(struct num *r, const struct num *a,
                                          const struct num *b)
{
    add_mod(r, a, b, &field.m);
}

static __attribute__((noinline)) void sub(struct num *r, const struct num *a,
                                          const struct num *b)
{
    struct num less;
    unsigned char borrow = subtract(&less, a, b), carry = 0;
    uint64_t mask = opaque(0 - (uint64_t)borrow);

    r->w[0] = add_carry(less.w[0], field.m.w[0] & mask, &carry);
    r->w[1] = add_carry(less.w[1], field.m.w[1] & mask, &carry);
    r->w[2] = add_carry(less.w[2], field.m.w[2] & mask, &carry);
    r->w[3] = add_carry(less.w[3], field.m.w[3] & mask, &carry);
}

static __attribute__((noinline)) void
mul_order(struct num *r, const struct num *a, const struct num *b)
{
    multiply_mod(r, a, b, fold_order, &order.m);
}

/*
 * r = 1 / a mod m for a in Montgomery form: a^(m - 2), as Fermat has it; 0
 * becomes 0. The exponent is public.
 */
static void
invert(struct num *r, const struct num *a, const struct modulus *mod,
       void (*multiply)(struct num *, const struct num *, const struct num *))
{
    struct num power[WINDOW_DIGITS];
    uint64_t exponent[LIMBS];

    memcpy(exponent, mod->m.w, sizeof exponent);
    exponent[0] -= 2;
    power[1] = *a;
    for (int i = 2; i < WINDOW_DIGITS; i++)
        multiply(&power[i], &power[i - 1], a);
    /* The highest digit of either modulus is 15. */
    *r = power[15];
    for (int i = 256 - 2 * WINDOW; i >= 0; i -= WINDOW) {
        uint64_t digit = exponent[i / 64] >> (i % 64) & (WINDOW_DIGITS - 1);
        for (int j = 0; j < WINDOW; j++)
            multiply(r, r, r);
        if (digit != 0)
            multiply(r, r, &power[digit]);
    }
    wipe(power, sizeof power);
}

static void decode(struct num *r, const uint8_t *bytes)
{
    for (int i = 0; i < LIMBS; i++)
        r->w[i] = load_be64(bytes + NUM_LEN - 8 * (i + 1));
}

static void encode(uint8_t *bytes, const struct num *a)
{
    for (int i = 0; i < LIMBS; i++)
        store_be64(bytes + NUM_LEN - 8 * (i + 1), a->w[i]);
}

static bool is_zero(const struct num *a)
{
    return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

static bool is_below(const struct num *a, const struct num *m)
{
    struct num less;

    return subtract(&less, a, m) == 1;
}

/*
 * r = p + q for any two points: algorithm 4 of Renes, Costello and Batina,
 * "Complete addition formulas for prime order elliptic curves" (2016).
 */
static void point_add(struct point *r, const struct point *p,
                      const struct point *q)
{
    struct num t0, t1, t2, t3, t4, x, y, z;

    mul(&t0, &p->x, &q->x);
    mul(&t1, &p->y, &q->y);
    mul(&t2, &p->z, &q->z);
    add(&t3, &p->x, &p->y);
    add(&t4, &q->x, &q->y);
    mul(&t3, &t3, &t4);
    add(&t4, &t0, &t1);
    sub(&t3, &t3, &t4);
    add(&t4, &p->y, &p->z);
    add(&x, &q->y, &q->z);
    mul(&t4, &t4, &x);
    add(&x, &t1, &t2);
    sub(&t4, &t4, &x);
    add(&x, &p->x, &p->z);
    add(&y, &q->x, &q->z);
    mul(&x, &x, &y);
    add(&y, &t0, &t2);
    sub(&y, &x, &y);
    mul(&z, &curve_b, &t2);
    sub(&x, &y, &z);
    add(&z, &x, &x);
    add(&x, &x, &z);
    sub(&z, &t1, &x);
    add(&x, &t1, &x);
    mul(&y, &curve_b, &y);
    add(&t1, &t2, &t2);
    add(&t2, &t1, &t2);
    sub(&y, &y, &t2);
    sub(&y, &y, &t0);
    add(&t1, &y, &y);
    add(&y, &t1, &y);
    add(&t1, &t0, &t0);
    add(&t0, &t1, &t0);
    sub(&t0, &t0, &t2);
    mul(&t1, &t4, &y);
    mul(&t2, &t0, &y);
    mul(&y, &x, &z);
    add(&r->y, &y, &t2);
    mul(&x, &t3, &x);
    sub(&r->x, &x, &t1);
    mul(&z, &t4, &z);
    mul(&t1, &t3, &t0);
    add(&r->z, &z, &t1);
}

/* r = p + q where q is not the point at infinity: their algorithm 5. */
static void point_add_affine(struct point *r, const struct point *p,
                             const struct affine *q)
{
    struct num t0, t1, t2, t3, t4, x, y, z;

    mul(&t0, &p->x, &q->x);
    mul(&t1, &p->y, &q->y);
    add(&t3, &q->x, &q->y);
    add(&t4, &p->x, &p->y);
    mul(&t3, &t3, &t4);
    add(&t4, &t0, &t1);
    sub(&t3, &t3, &t4);
    mul(&t4, &q->y, &p->z);
    add(&t4, &t4, &p->y);
    mul(&y, &q->x, &p->z);
    add(&y, &y, &p->x);
    mul(&z, &curve_b, &p->z);
    sub(&x, &y, &z);
    add(&z, &x, &x);
    add(&x, &x, &z);
    sub(&z, &t1, &x);
    add(&x, &t1, &x);
    mul(&y, &curve_b, &y);
    add(&t1, &p->z, &p->z);
    add(&t2, &t1, &p->z);
    sub(&y, &y, &t2);
    sub(&y, &y, &t0);
    add(&t1, &y, &y);
    add(&y, &t1, &y);
    add(&t1, &t0, &t0);
    add(&t0, &t1, &t0);
    sub(&t0, &t0, &t2);
    mul(&t1, &t4, &y);
    mul(&t2, &t0, &y);
    mul(&y, &x, &z);
    add(&r->y, &y, &t2);
    mul(&x, &t3, &x);
    sub(&r->x, &x, &t1);
    mul(&z, &t4, &z);
    mul(&t1, &t3, &t0);
    add(&r->z, &z, &t1);
}

/* p = 2 p: their algorithm 6. */
static void point_double(struct point *p)
{
    struct num t0, t1, t2, t3, x, y, z;

    mul(&t0, &p->x, &p->x);
    mul(&t1, &p->y, &p->y);
    mul(&t2, &p->z, &p->z);
    mul(&t3, &p->x, &p->y);
    add(&t3, &t3, &t3);
    mul(&z, &p->x, &p->z);
    add(&z, &z, &z);
    mul(&y, &curve_b, &t2);
    sub(&y, &y, &z);
    add(&x, &y, &y);
    add(&y, &x, &y);
    sub(&x, &t1, &y);
    add(&y, &t1, &y);
    mul(&y, &x, &y);
    mul(&x, &x, &t3);
    add(&t3, &t2, &t2);
    add(&t2, &t2, &t3);
    mul(&z, &curve_b, &z);
    sub(&z, &z, &t2);
    sub(&z, &z, &t0);
    add(&t3, &z, &z);
    add(&z, &z, &t3);
    add(&t3, &t0, &t0);
    add(&t0, &t3, &t0);
    sub(&t0, &t0, &t2);
    mul(&t0, &t0, &z);
    add(&y, &y, &t0);
    mul(&t0, &p->y, &p->z);
    add(&t0, &t0, &t0);
    mul(&z, &t0, &z);
    sub(&p->x, &x, &z);
    mul(&z, &t0, &t1);
    add(&z, &z, &z);
    add(&p->z, &z, &z);
    p->y = y;
}

static void set_infinity(struct point *p)
{
    memset(p, 0, sizeof *p);
    p->y = field_one;
}

static void take_point(struct point *r, const struct point *p, uint64_t mask)
{
    take(&r->x, &p->x, mask);
    take(&r->y, &p->y, mask);
    take(&r->z, &p->z, mask);
}

/* p = k * p, reading every point of the window for each digit. */
static void point_mul(struct point *p, const struct num *k)
{
    struct point window[WINDOW_DIGITS], picked;

    set_infinity(&window[0]);
    for (int i = 1; i < WINDOW_DIGITS; i++)
        point_add(&window[i], &window[i - 1], p);
    set_infinity(p);
    for (int i = 256 - WINDOW; i >= 0; i -= WINDOW) {
        uint64_t digit = k->w[i / 64] >> (i % 64) & (WINDOW_DIGITS - 1);
        for (int j = 0; j < WINDOW; j++)
            point_double(p);
        memset(&picked, 0, sizeof picked);
        for (uint64_t j = 0; j < WINDOW_DIGITS; j++)
            take_point(&picked, &window[j], equal_mask(j, digit));
        point_add(p, p, &picked);
    }
    wipe(window, sizeof window);
    wipe(&picked, sizeof picked);
}

/* The bits of k that the comb's teeth meet at a column (public). */
static uint64_t comb_digit(const struct num *k, int column)
{
    uint64_t digit = 0;

    for (int i = 0; i < TEETH; i++) {
        int bit = column + COMB_SPACING * i;
        if (bit < 64 * LIMBS)
            digit |= (k->w[bit / 64] >> (bit % 64) & 1) << i;
    }
    return digit;
}

/* p += the comb's point for a digit, reading all of the table. */
static void comb_add(struct point *p, const struct affine table[COMB_POINTS],
                     uint64_t digit)
{
    struct affine picked = {0};
    struct point sum;

    for (uint64_t i = 0; i < COMB_POINTS; i++) {
        uint64_t mask = equal_mask(i + 1, digit);
        take(&picked.x, &table[i].x, mask);
        take(&picked.y, &table[i].y, mask);
    }
    point_add_affine(&sum, p, &picked);
    take_point(p, &sum, ~equal_mask(digit, 0));
}

/* p = k * generator. */
static void generator_mul(struct point *p, const struct num *k)
{
    set_infinity(p);
    for (int i = COMB_HALF - 1; i >= 0; i--) {
        point_double(p);
        comb_add(p, comb[0], comb_digit(k, i));
        comb_add(p, comb[1], comb_digit(k, i + COMB_HALF));
    }
}

/* r = p, no longer in Montgomery form; the point at infinity is (0, 0). */
static void to_affine(struct affine *r, const struct point *p)
{
    static const struct num one = {{1}};
    struct num z;

    invert(&z, &p->z, &field, mul);
    mul(&z, &z, &one);
    mul(&r->x, &p->x, &z);
    mul(&r->y, &p->y, &z);
}

/* y^2 = x^3 - 3 x + b; the point is public. */
static bool is_on_curve(const struct affine *p)
{
    struct num left, right, x3;

    mul(&left, &p->y, &p->y);
    mul(&right, &p->x, &p->x);
    mul(&right, &right, &p->x);
    add(&x3, &p->x, &p->x);
    add(&x3, &x3, &p->x);
    sub(&right, &right, &x3);
    add(&right, &right, &curve_b);
    sub(&left, &left, &right);
    return is_zero(&left);
}

/* A point that is on the curve; false if it is not. */
static bool decode_point(struct point *p,
                         const uint8_t point[EC_P256_POINT_LEN])
{
    struct affine a;

    decode(&a.x, point + 1);
    decode(&a.y, point + 1 + NUM_LEN);
    if (point[0] != 4 || !is_below(&a.x, &field.m) || !is_below(&a.y, &field.m))
        return false;
    mul(&a.x, &a.x, &field.square);
    mul(&a.y, &a.y, &field.square);
    *p = (struct point){.x = a.x, .y = a.y, .z = field_one};
    return is_on_curve(&a);
}

static void encode_point(uint8_t point[EC_P256_POINT_LEN],
                         const struct point *p)
{
    struct affine a;

    to_affine(&a, p);
    point[0] = 4;
    encode(point + 1, &a.x);
    encode(point + 1 + NUM_LEN, &a.y);
}

bool ec_p256_mul(uint8_t point[EC_P256_POINT_LEN],
                 const uint8_t scalar[EC_P256_LEN])
{
    struct point p;
    struct num k;

    if (!decode_point(&p, point))
        return false;
    decode(&k, scalar);
    point_mul(&p, &k);
    encode_point(point, &p);
    wipe(&k, sizeof k);
    wipe(&p, sizeof p);
    return true;
}

void ec_p256_mulgen(uint8_t point[EC_P256_POINT_LEN],
                    const uint8_t scalar[EC_P256_LEN])
{
    struct point p;
    struct num k;

    decode(&k, scalar);
    generator_mul(&p, &k);
    encode_point(point, &p);
    wipe(&k, sizeof k);
    wipe(&p, sizeof p);
}

/* A big-endian number of len bytes, at most NUM_LEN. */
static void decode_short(struct num *k, const uint8_t *bytes, size_t len)
{
    uint8_t padded[NUM_LEN] = {0};

    memcpy(padded + NUM_LEN - len, bytes, len);
    decode(k, padded);
    wipe(padded, sizeof padded);
}

/*
 * From 1 to the order less one. Not inlined, as tests/peers name it: what it
 * tells of a nonce is that it was thrown away, and of a key that it is none.
 */
static __attribute__((noinline)) bool is_scalar(const struct num *k)
{
    return !is_zero(k) && is_below(k, &order.m);
}

/* The leftmost 256 bits of a hash, mod the order: RFC 6979 section 2.3. */
static void hash_number(struct num *h, const br_hash_class *hf,
                        const void *value)
{
    size_t len = hf->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK;
    struct num bits;

    decode_short(&bits, value, len < NUM_LEN ? len : NUM_LEN);
    reduce_once(h, &bits, 0, &order.m);
}

/* k = the nonce of key d for hash h: RFC 6979 section 3.2. */
static void make_nonce(struct num *k, const br_hash_class *hf,
                       const struct num *d, const struct num *h)
{
    uint8_t bytes[2 * NUM_LEN];
    br_hmac_drbg_context drbg;

    encode(bytes, d);
    encode(bytes + NUM_LEN, h);
    br_hmac_drbg_init(&drbg, hf, bytes, sizeof bytes);
    do {
        br_hmac_drbg_generate(&drbg, bytes, NUM_LEN);
        decode(k, bytes);
    } while (!is_scalar(k));
    wipe(bytes, sizeof bytes);
    wipe(&drbg, sizeof drbg);
}

/* r = the x of k * generator, mod the order. */
static void nonce_x(struct num *r, const struct num *k)
{
    struct point p;
    struct affine a;

    generator_mul(&p, k);
    to_affine(&a, &p);
    reduce_once(r, &a.x, 0, &order.m);
    wipe(&p, sizeof p);
}

/* s = (h + r * d) / k mod the order; k is lost. */
static void signature_s(struct num *s, const struct num *h, const struct num *r,
                        const struct num *d, struct num *k)
{
    struct num t;

    mul_order(k, k, &order.square);
    invert(k, k, &order, mul_order);
    mul_order(&t, r, &order.square);
    mul_order(&t, &t, d);
    add_mod(&t, &t, h, &order.m);
    mul_order(s, &t, k);
    wipe(&t, sizeof t);
}

/* The signature, r and s, of a key of P-256; false if the key is none. */
static bool sign(const br_hash_class *hf, const void *value,
                 const br_ec_private_key *key, uint8_t sig[2 * NUM_LEN])
{
    struct num d, h, k, r, s;

    decode_short(&d, key->x, key->xlen);
    if (!is_scalar(&d))
        return false;
    hash_number(&h, hf, value);
    make_nonce(&k, hf, &d, &h);
    nonce_x(&r, &k);
    signature_s(&s, &h, &r, &d, &k);
    encode(sig, &r);
    encode(sig + NUM_LEN, &s);
    wipe(&d, sizeof d);
    wipe(&k, sizeof k);
    return true;
}

size_t ec_sign_asn1(const br_ec_impl *impl, const br_hash_class *hash,
                    const void *hash_value, const br_ec_private_key *key,
                    void *sig)
{
    uint8_t raw[2 * NUM_LEN + ASN1_MORE];

    if (key->curve != BR_EC_secp256r1 || key->xlen > NUM_LEN)
        return br_ecdsa_sign_asn1_get_default()(impl, hash, hash_value, key,
                                                sig);
    if (!sign(hash, hash_value, key, raw))
        return 0;
    size_t len = br_ecdsa_raw_to_asn1(raw, 2 * NUM_LEN);
    memcpy(sig, raw, len);
    return len;
}
