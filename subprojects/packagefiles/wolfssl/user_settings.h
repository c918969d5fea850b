/* SPDX-License-Identifier: GPL-3.0-or-later
 * What of wolfSSL the relay is built with. Three rules: everything the CPU can do (chosen at run
 * time), nothing weak or obsolete, and as little as possible of the OpenSSL look-alike, since each
 * part of it makes sessions bigger and slower.
 *
 * A macro here is read by the library and by every file that includes its headers: the sizes of its
 * structures depend on them. */
#ifndef RINGMTA_WOLFSSL_USER_SETTINGS_H
#define RINGMTA_WOLFSSL_USER_SETTINGS_H

/* Speed. */
#if defined(WOLFSSL_X86_64_BUILD) /* by meson.build */
#define USE_INTEL_SPEEDUP         /* SHA-256/384/512 (SHA-NI, AVX2), ChaCha20, Poly1305, X25519 */
#define WOLFSSL_AESNI             /* AES-GCM with AES-NI, PCLMUL, AVX2 */
#define WOLFSSL_USE_ALIGN
#define WOLFSSL_SP_X86_64
#define WOLFSSL_SP_X86_64_ASM /* RSA, DH, ECC with BMI2 and ADX */
#define WOLFSSL_SP_ASM
#endif
#define HAVE___UINT128_T 1
#define WOLFSSL_SP_MATH_ALL /* any size: RSA-1024 and odd peers */
#define WOLFSSL_HAVE_SP_RSA /* RSA-2048, -3072 and -4096 in code of their own */
#define WOLFSSL_HAVE_SP_DH
#define WOLFSSL_HAVE_SP_ECC
#define WOLFSSL_SP_4096
#define WOLFSSL_SP_384
#define WOLFSSL_SP_521
#define WOLFSSL_SP_LARGE_CODE
#define GCM_TABLE_4BIT /* where there is no PCLMUL */
#define HAVE_THREAD_LS
#define ERROR_QUEUE_PER_THREAD
#define WOLFSSL_HAVE_ATOMIC_H
#define HAVE_C___ATOMIC 1
#define HAVE_GMTIME_R /* else shards that check certificates share one struct tm */
#define HAVE_GMTIME_R /* else shards that check certificates share one struct tm */
#define WOLFSSL_GETRANDOM /* one system call per seed instead of open, read, close */

/* Resistance against timing. */
#define TFM_TIMING_RESISTANT
#define ECC_TIMING_RESISTANT
#define WC_RSA_BLINDING

/* Public keys. */
#define WC_RSA_PSS
#define WOLFSSL_PSS_LONG_SALT
#define RSA_MIN_SIZE 1024 /* DKIM allows it; TLS asks for more (src/tls/) */
#define HAVE_ECC
#define ECC_SHAMIR
#define HAVE_ECC384
#define HAVE_ECC521
#define HAVE_CURVE25519
#define HAVE_ED25519
#define WOLFSSL_KEY_GEN
#define WOLFSSL_CERT_GEN
#define WOLFSSL_CERT_EXT
#define WOLFSSL_ALT_NAMES
#define WOLFSSL_ASN_TEMPLATE
#define WOLFSSL_DER_TO_PEM
#define WOLFSSL_PEM_TO_DER
#define WOLF_CRYPTO_CB /* a faster RSA can be plugged in */

/* Hashes, ciphers, derivation. */
#define WOLFSSL_SHA224
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define HAVE_AESGCM
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_HKDF
#define HAVE_PBKDF2
#define HAVE_HASHDRBG
#define WOLFSSL_BASE64_ENCODE

/* TLS 1.2 and 1.3. */
#define WOLFSSL_TLS13
#define NO_OLD_TLS
#define HAVE_TLS_EXTENSIONS
#define HAVE_SNI
#define HAVE_SUPPORTED_CURVES
#define HAVE_FFDHE_2048
#define HAVE_DH_DEFAULT_PARAMS
#define HAVE_EXTENDED_MASTER
#define HAVE_ENCRYPT_THEN_MAC
#define HAVE_SESSION_TICKET
#define WOLFSSL_NO_DEF_TICKET_ENC_CB   /* ticket keys are the relay's, shared by its shards */
#define WOLFSSL_TICKET_NONCE_MALLOC    /* servers choose nonces up to 255 octets (RFC 8446 4.6.1) */
#define MAX_TICKET_AGE_DIFF 604800     /* seconds; a ticket's age matters for early data alone */
#define WOLFSSL_ALWAYS_VERIFY_CB       /* names are checked by us (RFC 9525) */
#define HAVE_SERVER_RENEGOTIATION_INFO /* RFC 5746 is answered; renegotiation is not offered */
#define HAVE_KEYING_MATERIAL           /* channel binding (RFC 9266) */
#define WOLFSSL_ALT_CERT_CHAINS /* what else a peer sends beside a good chain does not matter */
#define WOLFSSL_USER_IO         /* it never sees a socket */
#define NO_FILESYSTEM           /* nor a file */
#define NO_WRITEV

/* Obsolete or not used. */
#define NO_DSA
#define NO_DES3
#define NO_DES3_TLS_SUITES
#define NO_RC4
#define NO_MD4
#define NO_MD5
#define NO_PSK
#define NO_PKCS12
#define NO_PKCS7
#define NO_CRYPT_TEST
#define NO_CRYPT_BENCHMARK
#define NO_DO178
#define WC_NO_ASYNC_THREADING

#endif
