/* DTLS 1.2 records of established sessions: AEAD suites (RFC 5288, RFC 6655), with connection IDs by RFC 9146 or by
 * draft-ietf-tls-dtls-connection-id-05, or without. All that a session needs for it is struct dtls_keys: about 200 bytes,
 * no pointers, so that it can be written down and read back.
 *
 * A record is `type version(2) epoch(2) number(6) [cid] length(2) | explicit nonce(8) ciphertext tag`. With a CID the
 * type is 25 and the true type stands behind the content, followed by zeros (RFC 9146 §4). */
#ifndef BERTH_NET_RECORD_H
#define BERTH_NET_RECORD_H

#include "common/base/buffer.h"
#include "common/net/cipher_suite.h"

enum {
    RECORD_CID_MAX = 32,
    RECORD_HEADER = 13,                                    /* without CID */
    RECORD_OVERHEAD_MAX = RECORD_HEADER + 32 + 8 + 1 + 16, /* what record_seal adds at most */
    RECORD_CONTENT_MAX = 16384,                            /* RFC 6347 §4.1 */
};

enum record_type {
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_APPLICATION_DATA = 23,
    RECORD_TLS12_CID = 25,
};

/* One direction each is what the peer writes (read_…) and what we write. Numbers are the 48-bit ones of `epoch`. */
struct dtls_keys {
    uint8_t read_key[32], write_key[32]; /* key_len bytes of them */
    uint8_t read_iv[4], write_iv[4];
    uint64_t next_number;  /* of the next record we write */
    uint64_t number_limit; /* numbers from here on are not ours to use yet */
    uint64_t window_top,
        window_bits;      /* replay window: newest number; bit n: window_top - n was seen; no bits: none yet */
    uint32_t bad_records; /* that did not verify */
    uint16_t epoch;
    uint16_t max_content;             /* bytes of content in a record we write (RFC 6066 §4) */
    uint8_t aead, key_len;            /* enum record_aead */
    uint8_t cid_len, peer_cid_len;    /* 0: records of this direction have none */
    uint8_t cid[RECORD_CID_MAX];      /* in records to us */
    uint8_t peer_cid[RECORD_CID_MAX]; /* in records of ours */
    bool draft;                       /* additional data as in the draft */
};

/* The outside of a record. */
struct record_header {
    uint8_t type;
    uint16_t version, epoch;
    uint64_t number;
    size_t header_len, len; /* bytes of it, CID included, and of what follows */
};

/* Read the header of the first record in `data`, whose CID, if its type is 25, has `cid_len` bytes. False when no whole
 * record is there. */
bool record_read_header(struct slice data, size_t cid_len, struct record_header *header);

enum record_result {
    RECORD_CONTENT,   /* authentic: type and content are there */
    RECORD_MALFORMED, /* too short, another version, or nothing but zeros within */
    RECORD_REPLAY,    /* its number was seen, or is older than the window */
    RECORD_BAD,       /* does not verify */
    RECORD_OTHER_EPOCH,
    RECORD_NO_CID, /* without one where one was agreed on, or with another, or with one where none was */
};

struct record {
    uint8_t type;         /* the true one */
    struct slice content; /* within the datagram; may be empty */
    uint64_t number;
    bool newest; /* newer than all authentic ones before it (RFC 9146 §6) */
};

/* Open the first record of `data` in place. *used is how far to go for the next record, whatever the result; a record
 * that is not RECORD_CONTENT is dropped without a word (RFC 6347 §4.1.2.7). Marks its number as seen. */
enum record_result record_open(struct dtls_keys *keys, uint8_t *data, size_t len, struct record *record, size_t *used);

/* Whether so many bad records have come that the keys must not be used any longer (RFC 9147 §4.5.3). */
bool record_keys_worn(const struct dtls_keys *keys);

enum record_seal_result {
    RECORD_SEALED,
    RECORD_NO_NUMBERS, /* number_limit is reached, or 2^48 */
    RECORD_TOO_LARGE,  /* more than max_content, or than fits into `out` */
};

/* Append one protected record to `out`. */
enum record_seal_result record_seal(struct dtls_keys *keys, enum record_type type, struct slice content,
                                    struct buffer *out);

/* Fill in aead, keys and IVs from a handshake's secrets (RFC 5246 §6.3). `server`: which side we are. */
bool record_expand_keys(struct dtls_keys *keys, const struct cipher_suite *suite, const uint8_t master[48],
                        const uint8_t client_random[32], const uint8_t server_random[32], bool server);

#endif
