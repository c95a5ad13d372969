#include "base/ec.h"

const br_ec_impl *ec_curves(void)
{
    return br_ec_get_default();
}

size_t ec_sign_asn1(const br_ec_impl *impl, const br_hash_class *hash,
                    const void *hash_value, const br_ec_private_key *key,
                    void *sig)
{
    return br_ecdsa_sign_asn1_get_default()(impl, hash, hash_value, key, sig);
}
