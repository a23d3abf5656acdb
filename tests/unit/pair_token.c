/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair_token.h"

#include "made_rsa.h"
#include "secret.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

static const char unwrap_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC8dE0nqNPqhkTD\n"
    "8et+Tn3f0aSTkCW6XEOuHVZG76KAvtSJ0uo5GMOyqK/Lk44PHmM1M6iWD5mVdOJM\n"
    "K1pl3Vgb0qzGhtASwYeZ4qcnNiocKb2LGDYmmK7bYzWvAq+1OT67DOM1cD7VaUZE\n"
    "ootmsTQ5C2r0QnVhh24bAzAa/4yt0W2MKrwsJhMYm/x2Q8lFDoe7JvJXWkmqM+5S\n"
    "MjYLAWUz3MhlUy2FHy9v7f1Q2Ap2qfFbDv6qMpxOmnWp9byEL9U4OMPlA3HuBbeh\n"
    "TCsD/yjZGPOntLlNG4e4mDWZ/G5g2RzvmI02INETqYyV66lF1sb/yfs2tBaDtvDh\n"
    "YvG7Ez+pAgMBAAECggEAa/WUXavx+uCAdGAasHj200meJorlkiVZAF3+FxUg2vB3\n"
    "gZ06YQs20Rqh2tXlA/Q8kTXO1miJa31SRqBvYPu0hfvizrhcauJDdHzLlUMKTKf8\n"
    "1bpBC0tcoIHtNx0q23632SBA6VQsKsXsY1Va1rGdYTCRTOzlocGb6g2heVX8mXXs\n"
    "WIXIPIIpPlq0dduOUD0CGGw840zXRRLNx0txbKwPh0BaNagvLnXxouZdSDbjApz7\n"
    "l9YRP9Fkxl2UjDXMm+J5jmtWAcoK08K8QJqRFtctoPcT3xOaNYf37AqceyHlT0/+\n"
    "/SHkZmBaT42p4yFA3aMlhvgYHKtiRUfoWgfNkrfkAQKBgQDpI0miqE5pqfKOFW4U\n"
    "MTCioJQT8G5aIHZinFoyKDGHpIbjZHZbpXFboEQFtm2p0vXXVW6pAEVOJbjetIIV\n"
    "8I04QcjauP2Y1jGjTst37csOj1BwQnbXCn/9RTYTx9WISwbKTM0N/NmhKu1vf+UD\n"
    "jmPrDsXjbyw9513uIAza09XZeQKBgQDO70Y6nF+PPr2YYJ3SBHYSV7wgWvaqFW1W\n"
    "uobXQ4uKg2PZZd8h6Cdc1VZJi8SUgXJTz7hiK4Sl/FpXj22zAKGKIxRmw512s3lr\n"
    "FmW9muuTfu/PcyfIV246SlhPRqA2pXfkP2ZoF86S6rLijJhETI8mD0CmHuUUAqrZ\n"
    "1HtnZqE7sQKBgQCQyoeq65h3a0LnF0wcYkhwWAZfM811T//2UmB6Ehhgw7+6beRM\n"
    "Gr4CR9C3M4t8Ezb3m2l0sGRamnbsaXL5KUKrk7+oh4eIak69u+wF+btIuZ0de0nP\n"
    "WAgRRfDF7DAjy2TWM0iOzWBkBgMcYnPa9436qFwiWiNB9vWRNHqHVVTVEQKBgQCk\n"
    "4stW0FrkTN3NmM6oFZ3vJ7FjJpf9Fm20+ZOP2uZJTEA3bZDJ963Frse+env8yNhM\n"
    "J+uHbZ2YlOd3dXW3d/0/kIwlBiFl/8PzrDkNR3AGatKyvdMpM2FFWQ/cuy3V3SsW\n"
    "193Fe5LCRfibw+NgKJC3htfAhkWKGEYCo+hgj8pRQQKBgE6QWC9cid9umTxbkVxv\n"
    "PCa0SIN+ydmdfIDJxKsDAIt3fX56m0368sqpARyYVoIlPGKKIj8MG1JdD9r74zzo\n"
    "iEkhSyuQi47JVCbBsOivQOMctASH9LWnkvT0ilToMbkvq4V6BqXSvxH/Mn7334Bg\n"
    "EhNH8nTUiwTi7wfuW1VapH/p\n"
    "-----END PRIVATE KEY-----\n";

static const char sign_rsa_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDbm6aONlAhEpYX\n"
    "99eYzuXY2nQoGwdLl7keIPO5M6eqCllIzjGh7mSMhdiNzO/qOuWqTF+Vnh0mLu98\n"
    "T/zeMuJJdzj3kEgWoEAaywnXCVE8HKm+/PEcAgbulY852y8kUi+TsWHbEZDarAbt\n"
    "P6OZkWIrK3pSpUSD/XmljA1HvQmDnFgtoL5kU2poLga4zqcAzlbj65k+QAzIAcTY\n"
    "PtBs7090/i6itvySVHmNq3mvfPlynOdX6pjDY4bFRGKn4b2dWqQrX+SgiG7I56TO\n"
    "7NJp6mK1pZWCFo9/oxpy/21fFh7ZqAos1scWh43ViEcCDnk3yuw0jhnkgbA26/dy\n"
    "FX1l2R1VAgMBAAECggEBAI0R0I0cIJ8OJHKjF9CmX4nM0r8MlcQeY6ESA94da3/U\n"
    "hAQ7yDBARkDqnfCBDEDHss6Rnvkqh4kGr3qIm2RVBX2x41tMSLKYIHXVpa2H47Ic\n"
    "q4HvVCbsum06j7XXsdHAJaXXVYf3IbkGtrBiqAI3HPukQ0Chv4CWLDWG4OULbvgm\n"
    "HvBiWTJgfamrkTsmi0id2+pO442maiwfmVJrgHudBWYEQE2FXI1nQ3mPsprzv2U3\n"
    "4OY6x7nCinwnjY6ghDiMAElvlygSwf6Qsf7P4wkLCHEDQ9u7EeQKP+nSvWXWY6Qg\n"
    "WJdnW1dmcMartQ854xjpC4MbMYuSNUhj62JCWzw/XGUCgYEA604GRMa+FglnpqOD\n"
    "giD7lH/H60ZRyorMPDzbEIGQkt4WVLaDX+6sNe2Zt2l5sicnwcZjDbAa8+slsrLD\n"
    "z6SfiC/Kl+hrWHIEVVaMlzGLb0I37k4hhkWPlj/AxfUWsROyhx9SM0h66+yv1g9p\n"
    "kv7emgz1RUpVDoc97XJmVqs17iMCgYEA7uw1FzdN7Wa6MiTG4bjOrQJ7MmB8aDR6\n"
    "c663QNV5ymF4A/Fu6AUFDzu3FFTS4OLuZ8VHqFVWt2HCougiPFwzc5A4MPx5xaG1\n"
    "kpHl7t/3XzqDSi7yat+UUPrzKH7428egEiNUlRPHyIwEfKEw1MPraYwH79Jhs1Xh\n"
    "w70pIZfVMicCgYBG742qPDPf1tP9g3vIxgKx4Ne3EMrlgXRSkJIF5tlbvUIEJcVz\n"
    "LTOTSl610UFTuMQegZ0o6jcl43TI62Vmep1xY97ybqm1zyGJTH8zsUb0soTD/Z/T\n"
    "p7LCu9N0mg9OML74RzPzq90KtJ7JrHnKS7V1wYRLcD42FAVSSNObOyAV+wKBgQDd\n"
    "4DOpfK18ouKVAHxFUHd2SZCZButhZiK1XXJG3jh9DikDGGnTRB4fuGfblK5FM9kM\n"
    "OzPBioa+RCYZXRO2FDWfwzW7oCuBshvJon3yaMD0CYW1FYYAY+L7lSDM4aU/jNIF\n"
    "JhQ9YSIuBoGAL70GSW9MFEOmniwm+8FuIjOZQ8Q0DwKBgEL75Hq6GX+itVy9IuWI\n"
    "Cw+Y31mKs6owmMqsB5PIjx1itqMvNg8gF4LAjqD76EnzVgrxlmUQUA6ZqYvL0R3I\n"
    "7o0HGX9GLLlM1LpJShR1BZsNTb3inOANivBejkAd//HeEH4gRGsBSh2rGsZrRu74\n"
    "0OVyRA8i9IdG46syVNqrrJWe\n"
    "-----END PRIVATE KEY-----\n";

static const char sign_ec_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAECAwQFBgcICQoL\n"
    "DA0ODxAREhMUFRYXGBkaGxwdHh+hRANCAAR6WTGAhgxAN8g8EnSYRcjuFCTdKX+t\n"
    "y4leNYJV0sfSsqjKJVgPJib+V5Bi/xuZ/5HCSg2gb7MrW+IBSMkkn1ZQ\n"
    "-----END PRIVATE KEY-----\n";

struct pair_token pair_token;

/* --- attributes ---------------------------------------------------------------------------- */

static EVP_PKEY *key_of(CK_OBJECT_HANDLE handle, bool *ret_private)
{
    *ret_private = handle < PUBLIC_KEY;
    if (handle == UNWRAP_KEY)
        return pair_token.unwrap;
    if (handle == SIGN_KEY)
        return pair_token.sign;
    assert_in_range(handle, PUBLIC_KEY, PUBLIC_KEY + 2 * PUBLICS - 1);
    size_t at = handle - PUBLIC_KEY;
    return at < PUBLICS ? pair_token.unwrap_publics[at] : pair_token.sign_publics[at - PUBLICS];
}

static CK_RV give(CK_ATTRIBUTE *attribute, const void *value, size_t len)
{
    bool fits = attribute->ulValueLen >= len;
    if (fits)
        memcpy(attribute->pValue, value, len);
    attribute->ulValueLen = fits ? len : CK_UNAVAILABLE_INFORMATION;
    return fits ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

static CK_RV give_number(CK_ATTRIBUTE *attribute, EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    int len = BN_bn2bin(number, bytes);
    BN_free(number);
    return give(attribute, bytes, (size_t)len);
}

static CK_RV give_point(CK_ATTRIBUTE *attribute, EVP_PKEY *key)
{
    uint8_t point[2 + 65] = {4, 65};
    size_t len = 0, skip = pair_token.raw_point ? 2 : 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point + 2,
                                                     sizeof point - 2, &len),
                     1);
    assert_int_equal(len, 65);
    return give(attribute, point + skip, sizeof point - skip);
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                           CK_ATTRIBUTE *attribute, CK_ULONG count)
{
    static const uint8_t p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    bool private;
    EVP_PKEY *key = key_of(object, &private);
    bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    CK_KEY_TYPE type = rsa ? CKK_RSA : CKK_EC;
    (void)session;
    assert_int_equal(count, 1);
    if (attribute->type == CKA_KEY_TYPE)
        return give(attribute, &type, sizeof type);
    if (rsa && (pair_token.told || !private) && attribute->type == CKA_MODULUS)
        return give_number(attribute, key, OSSL_PKEY_PARAM_RSA_N);
    if (rsa && attribute->type == CKA_PUBLIC_EXPONENT)
        return give_number(attribute, key, OSSL_PKEY_PARAM_RSA_E);
    if (!rsa && attribute->type == CKA_EC_PARAMS)
        return give(attribute, p256, sizeof p256);
    if (!rsa && !private && attribute->type == CKA_EC_POINT)
        return give_point(attribute, key);
    attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_ATTRIBUTE_TYPE_INVALID;
}

/* --- searches ------------------------------------------------------------------------------ */

static EVP_PKEY **searched;

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG count)
{
    (void)session;
    assert_int_equal(count, 3);
    assert_int_equal(*(CK_OBJECT_CLASS *)wanted[0].pValue, CKO_PUBLIC_KEY);
    assert_int_equal(wanted[2].type, CKA_ID);
    searched = *(const char *)wanted[2].pValue == 'u' ? pair_token.unwrap_publics
                                                      : pair_token.sign_publics;
    return CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret, CK_ULONG most, CK_ULONG *ret_n)
{
    CK_OBJECT_HANDLE first = PUBLIC_KEY + (searched == pair_token.sign_publics ? PUBLICS : 0);
    (void)session;
    *ret_n = 0;
    for (size_t i = 0; i < PUBLICS && *ret_n < most; i++)
        if (searched[i])
            ret[(*ret_n)++] = first + i;
    return CKR_OK;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

/* --- operations ---------------------------------------------------------------------------- */

static CK_MECHANISM_TYPE begun;
static const EVP_MD *oaep_hash;

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    const CK_RSA_PKCS_OAEP_PARAMS *p = mechanism->pParameter;
    (void)session;
    assert_int_equal(mechanism->mechanism, CKM_RSA_PKCS_OAEP);
    assert_int_equal(p->ulSourceDataLen, 0);
    assert_int_equal(key, UNWRAP_KEY);
    bool sha1 = p->hashAlg == CKM_SHA_1;
    assert_int_equal(p->mgf, sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256);
    oaep_hash = sha1 ? EVP_sha1() : EVP_sha256();
    return pair_token.sha1_only && !sha1 ? CKR_ARGUMENTS_BAD : pair_token.init_rv;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *from, CK_ULONG len, CK_BYTE *ret,
                     CK_ULONG *ret_len)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pair_token.unwrap, NULL);
    uint8_t opened[512];
    size_t opened_len = sizeof opened;
    (void)session;
    pair_token.decrypts++;
    pair_token.room = ret;
    assert_true(*ret_len >= (CK_ULONG)EVP_PKEY_get_size(pair_token.unwrap)); /* as SoftHSM */
    assert_int_equal(EVP_PKEY_decrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(c, oaep_hash), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(c, oaep_hash), 1);
    int opens = EVP_PKEY_decrypt(c, opened, &opened_len, from, len);
    EVP_PKEY_CTX_free(c);
    if (opens != 1)
        return CKR_ENCRYPTED_DATA_INVALID;
    memcpy(ret, opened, opened_len);
    ret[0] ^= pair_token.garbage;
    *ret_len = (CK_ULONG)((long)opened_len + pair_token.longer);
    return pair_token.decrypt_rv;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    bool rsa = EVP_PKEY_get_base_id(pair_token.sign) == EVP_PKEY_RSA;
    (void)session;
    assert_int_equal(key, SIGN_KEY);
    begun = mechanism->mechanism;
    if (rsa != (begun != CKM_ECDSA) || (begun == CKM_SHA256_RSA_PKCS && pair_token.plain_only))
        return CKR_MECHANISM_INVALID;
    return pair_token.init_rv;
}

static void raw_ecdsa(const uint8_t *der, size_t len, uint8_t *ret)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    assert_non_null(pair);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret + 32, 32), 32);
    ECDSA_SIG_free(pair);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *ret,
                  CK_ULONG *ret_len)
{
    EVP_PKEY *other = pair_token.fickle ? pair_stranger(0) : NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(other ? other : pair_token.sign, NULL);
    uint8_t digest[32], made[512];
    size_t made_len = sizeof made;
    (void)session;
    pair_token.signs++;
    pair_token.signed_len = len;
    memcpy(pair_token.signed_data, data,
           len < sizeof pair_token.signed_data ? len : sizeof pair_token.signed_data);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    if (begun == CKM_SHA256_RSA_PKCS) {
        assert_int_equal(EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL), 1);
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()), 1);
        data = digest;
        len = sizeof digest;
    }
    assert_int_equal(EVP_PKEY_sign(c, made, &made_len, data, len), 1);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(other);
    if (begun == CKM_ECDSA) {
        raw_ecdsa(made, made_len, ret);
        made_len = 64;
    } else {
        memcpy(ret, made, made_len);
    }
    ret[0] ^= pair_token.garbage;
    *ret_len = (CK_ULONG)((long)made_len + pair_token.longer);
    return pair_token.sign_rv;
}

/* In the place of wipe (see local.mk). */
void __real_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len)
{
    if (memory == pair_token.room && len >= 32)
        pair_token.room_wipes++;
    if (len == sizeof pair_token.wiped_key) {
        memcpy(pair_token.wiped_key, memory, len);
        pair_token.key_wipes++;
    }
    __real_wipe(memory, len);
}

static CK_FUNCTION_LIST functions = {.C_GetAttributeValue = get_attribute,
                                     .C_FindObjectsInit = find_init,
                                     .C_FindObjects = find,
                                     .C_FindObjectsFinal = find_final,
                                     .C_DecryptInit = decrypt_init,
                                     .C_Decrypt = decrypt,
                                     .C_SignInit = sign_init,
                                     .C_Sign = sign};
static struct p11_module module = {.functions = &functions};
const struct p11_session pair_session = {.module = &module};

/* --- set-up -------------------------------------------------------------------------------- */

static EVP_PKEY *from_pem(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

EVP_PKEY *pair_stranger(unsigned bits)
{
    EVP_PKEY *key = bits > 0 ? made_rsa(bits) : EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static void replace(EVP_PKEY **at, EVP_PKEY *by)
{
    EVP_PKEY_free(*at);
    *at = by;
}

void pair_token_free(void)
{
    replace(&pair_token.unwrap, NULL);
    replace(&pair_token.sign, NULL);
    for (size_t i = 0; i < PUBLICS; i++) {
        replace(&pair_token.unwrap_publics[i], NULL);
        replace(&pair_token.sign_publics[i], NULL);
    }
}

void pair_token_reset(bool rsa)
{
    const char *sign_pem = rsa ? sign_rsa_pem : sign_ec_pem;
    pair_token_free();
    pair_token = (struct pair_token){.told = true};
    pair_token.unwrap = from_pem(unwrap_pem);
    pair_token.unwrap_publics[0] = from_pem(unwrap_pem);
    pair_token.sign = from_pem(sign_pem);
    pair_token.sign_publics[0] = from_pem(sign_pem);
}

struct key_set pair_token_keys(void)
{
    bool rsa = EVP_PKEY_get_base_id(pair_token.sign) == EVP_PKEY_RSA;
    struct key_set keys = {.scheme = SCHEME_RSA_OAEP_SIGN,
                           .handles = {UNWRAP_KEY, SIGN_KEY},
                           .types = {KEY_TYPE_RSA, rsa ? KEY_TYPE_RSA : KEY_TYPE_EC}};
    assert_false(err_is(object_id_from(bytes_of_string("unwrap"), &keys.ids[0])));
    assert_false(err_is(object_id_from(bytes_of_string("sign"), &keys.ids[1])));
    return keys;
}
