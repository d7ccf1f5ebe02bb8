/* Certificates as mbedtls reads them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "server/pki.h"

static struct pki_pair authority;

static struct pki_pair make(const struct pki_request *request, const struct pki_pair *issuer) {
    struct pki_pair pair;
    const char *problem = "";
    if (!pki_make(request, issuer, &pair, &problem))
        fail_msg("%s", problem);
    return pair;
}

static int set_up(void **state) {
    (void)state;
    authority = make(&(struct pki_request){.role = PKI_AUTHORITY, .name = slice_str("Berth Bootstrap CA")}, NULL);
    return 0;
}

/* Reads the certificate; the caller frees it. */
static mbedtls_x509_crt parse(const struct pki_pair *pair) {
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    assert_int_equal(mbedtls_x509_crt_parse_der(&crt, pair->certificate, pair->certificate_len), 0);
    return crt;
}

static const char *subject(const struct pki_pair *pair) {
    static char text[600];
    mbedtls_x509_crt crt = parse(pair);
    assert_true(mbedtls_x509_dn_gets(text, sizeof text, &crt.subject) > 0);
    mbedtls_x509_crt_free(&crt);
    return text;
}

static void expect_signed_by_authority(const struct pki_pair *pair, const char *host) {
    mbedtls_x509_crt crt = parse(pair), ca = parse(&authority);
    uint32_t flags = 0;
    assert_int_equal(mbedtls_x509_crt_verify(&crt, &ca, NULL, host, &flags, NULL, NULL), 0);
    assert_int_equal(flags, 0);
    mbedtls_x509_crt_free(&crt);
    mbedtls_x509_crt_free(&ca);
}

static void test_an_authority_signs_itself(void **state) {
    (void)state;
    mbedtls_x509_crt crt = parse(&authority);
    assert_int_equal(mbedtls_x509_crt_get_ca_istrue(&crt), 1);
    assert_int_equal(mbedtls_x509_crt_check_key_usage(&crt, MBEDTLS_X509_KU_KEY_CERT_SIGN), 0);
    assert_int_not_equal(mbedtls_x509_crt_check_key_usage(&crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE), 0);
    assert_int_equal(crt.version, 3);
    mbedtls_x509_crt_free(&crt);
    assert_string_equal(subject(&authority), "CN=Berth Bootstrap CA");
    expect_signed_by_authority(&authority, NULL);
}

static void test_a_device_has_its_endpoint_account_and_id(void **state) {
    (void)state;
    struct pki_pair device = make(&(struct pki_request){.role = PKI_DEVICE,
                                                        .name = slice_str("dev1"),
                                                        .account = slice_str("account-1"),
                                                        .device_id = slice_str("0123456789abcdef")},
                                  &authority);
    assert_string_equal(subject(&device), "CN=dev1, OU=account-1, L=0123456789abcdef");
    assert_true(device.certificate_len <= 512);
    expect_signed_by_authority(&device, NULL);
    mbedtls_x509_crt crt = parse(&device);
    assert_int_equal(mbedtls_x509_crt_get_ca_istrue(&crt), 0);
    assert_int_equal(mbedtls_x509_crt_check_extended_key_usage(&crt, MBEDTLS_OID_CLIENT_AUTH,
                                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)),
                     0);
    assert_int_not_equal(mbedtls_x509_crt_check_extended_key_usage(&crt, MBEDTLS_OID_SERVER_AUTH,
                                                                   MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)),
                         0);
    assert_int_equal(mbedtls_pk_get_bitlen(&crt.pk), 256);
    assert_int_equal(crt.MBEDTLS_PRIVATE(sig_md), MBEDTLS_MD_SHA256);
    mbedtls_x509_crt_free(&crt);
}

static void test_SEC_28_certificates_begin_in_1970_and_do_not_end(void **state) {
    (void)state;
    struct pki_pair device = make(&(struct pki_request){.role = PKI_DEVICE, .name = slice_str("dev1")}, &authority);
    mbedtls_x509_crt crt = parse(&device);
    assert_int_equal(crt.valid_from.year, 1970);
    assert_int_equal(crt.valid_from.mon, 1);
    assert_int_equal(crt.valid_from.day, 1);
    assert_int_equal(crt.valid_to.year, 9999);
    mbedtls_x509_crt_free(&crt);
    /* RFC 5280 §4.1.2.5: UTCTime through 2049 */
    assert_non_null(memmem(device.certificate, device.certificate_len,
                           "\x17\x0d"
                           "700101000000Z",
                           15));
}

static void test_dates_can_be_given(void **state) {
    (void)state;
    struct pki_pair device = make(&(struct pki_request){.role = PKI_DEVICE,
                                                        .name = slice_str("dev1"),
                                                        .not_before = "20200102030405",
                                                        .not_after = "20300102030405"},
                                  &authority);
    mbedtls_x509_crt crt = parse(&device);
    assert_int_equal(crt.valid_from.year * 100 + crt.valid_from.mon, 202001);
    assert_int_equal(crt.valid_to.year, 2030);
    mbedtls_x509_crt_free(&crt);
    struct pki_pair pair;
    const char *problem;
    assert_false(pki_make(&(struct pki_request){.role = PKI_DEVICE,
                                                .name = slice_str("dev1"),
                                                .not_before = "20300102030405",
                                                .not_after = "20200102030405"},
                          &authority, &pair, &problem));
}

static void test_SEC_15_a_server_is_named_by_its_hosts(void **state) {
    (void)state;
    struct pki_request request = {.role = PKI_SERVER,
                                  .name = slice_str("server.example.com"),
                                  .hosts = {slice_str("server.example.com"), slice_str("192.0.2.1"),
                                            slice_str("2001:db8::1"), slice_str("localhost")},
                                  .host_count = 4};
    struct pki_pair server = make(&request, &authority);
    struct slice der = slice_of(server.certificate, server.certificate_len);
    assert_string_equal(subject(&server), "CN=server.example.com");
    expect_signed_by_authority(&server, "server.example.com");
    expect_signed_by_authority(&server, "192.0.2.1");
    expect_signed_by_authority(&server, "2001:db8::1");
    assert_true(pki_has_hosts(der, request.hosts, 4));
    assert_false(pki_has_hosts(der, (struct slice[]){slice_str("other.example.com")}, 1));
    assert_false(pki_has_hosts(der, (struct slice[]){slice_str("192.0.2.2")}, 1));
}

static void test_a_name_may_have_anything_in_it(void **state) {
    (void)state;
    static const char *const names[] = {"urn:imei:1234567890", "a,b=c+d\\e\"f#g;h<i>j", " spaces ", "#hash",
                                        "gr\xc3\xbc\xc3\x9f"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct pki_pair device =
            make(&(struct pki_request){.role = PKI_DEVICE, .name = slice_str(names[i])}, &authority);
        mbedtls_x509_crt crt = parse(&device);
        assert_true(slice_is(slice_of(crt.subject.val.p, crt.subject.val.len), names[i]));
        mbedtls_x509_crt_free(&crt);
    }
    struct pki_pair odd = make(&(struct pki_request){.role = PKI_AUTHORITY, .name = slice_str("CA, of \"all\"")}, NULL);
    struct pki_pair device = make(&(struct pki_request){.role = PKI_DEVICE, .name = slice_str("dev1")}, &odd);
    mbedtls_x509_crt crt = parse(&device), ca = parse(&odd);
    uint32_t flags;
    assert_int_equal(mbedtls_x509_crt_verify(&crt, &ca, NULL, NULL, &flags, NULL, NULL), 0);
    mbedtls_x509_crt_free(&crt);
    mbedtls_x509_crt_free(&ca);
}

static void test_the_longest_names_fit_and_longer_ones_are_refused(void **state) {
    (void)state;
    static char name[PKI_NAME_MAX + 1];
    struct pki_pair pair;
    const char *problem = NULL;
    memset(name, 'x', sizeof name);
    struct pki_request request = {.role = PKI_DEVICE, .name = slice_of(name, PKI_NAME_MAX)};
    struct pki_pair device = make(&request, &authority);
    assert_true(device.certificate_len <= PKI_CERTIFICATE_MAX);
    request.name.len++;
    assert_false(pki_make(&request, &authority, &pair, &problem));
    assert_non_null(strstr(problem, "252"));
    request.name = request.account = request.device_id = slice_of(name, PKI_NAME_MAX);
    assert_false(pki_make(&request, &authority, &pair, &problem));
    assert_non_null(strstr(problem, "1024"));
    request = (struct pki_request){.role = PKI_DEVICE, .name = slice_of("a\0b", 3)};
    assert_false(pki_make(&request, &authority, &pair, &problem));
    request.name = slice_str("\xff");
    assert_false(pki_make(&request, &authority, &pair, &problem));
}

static void test_a_pair_comes_back_from_pem_and_der(void **state) {
    (void)state;
    uint8_t pem_memory[PKI_PEM_MAX], key_memory[PKI_PEM_MAX];
    struct buffer pem = buffer_over(pem_memory, sizeof pem_memory), key = buffer_over(key_memory, sizeof key_memory);
    struct slice der = slice_of(authority.certificate, authority.certificate_len);
    struct slice key_der = slice_of(authority.key, authority.key_len);
    struct pki_pair back;
    const char *problem = NULL;
    assert_true(pki_put_certificate_pem(der, &pem));
    assert_true(pki_put_key_pem(key_der, &key));
    assert_true(slice_starts_with(buffer_slice(&pem), "-----BEGIN CERTIFICATE-----\n"));
    assert_int_equal(pem.data[pem.len - 1], '\n');
    for (int form = 0; form < 4; form++) {
        assert_true(pki_read_pair((form & 1) != 0 ? der : buffer_slice(&pem),
                                  (form & 2) != 0 ? key_der : buffer_slice(&key), &back, &problem));
        assert_true(slice_equal(der, slice_of(back.certificate, back.certificate_len)));
        assert_true(slice_equal(key_der, slice_of(back.key, back.key_len)));
    }
    struct pki_pair other = make(&(struct pki_request){.role = PKI_AUTHORITY, .name = slice_str("other")}, NULL);
    assert_false(pki_read_pair(der, slice_of(other.key, other.key_len), &back, &problem));
    assert_non_null(strstr(problem, "not the certificate's"));
    assert_false(pki_read_pair(slice_str("nonsense"), key_der, &back, &problem));
    assert_false(pki_read_pair(der, slice_str("nonsense"), &back, &problem));
    assert_false(pki_read_pair(SLICE_NONE, SLICE_NONE, &back, &problem));
}

static void test_times(void **state) {
    (void)state;
    char time[15];
    assert_true(pki_parse_time(slice_str("2026-01-31"), time));
    assert_string_equal(time, "20260131000000");
    assert_true(pki_parse_time(slice_str("20260131235959"), time));
    assert_string_equal(time, "20260131235959");
    static const char *const wrong[] = {
        "",           "2026",          "2026-13-01",    "2026-00-01", "2026-01-32", "20260131245959", "20260131236059",
        "2026/01/31", "2026013123595", "x0260131235959"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(pki_parse_time(slice_str(wrong[i]), time));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_authority_signs_itself),
        cmocka_unit_test(test_a_device_has_its_endpoint_account_and_id),
        cmocka_unit_test(test_SEC_28_certificates_begin_in_1970_and_do_not_end),
        cmocka_unit_test(test_dates_can_be_given),
        cmocka_unit_test(test_SEC_15_a_server_is_named_by_its_hosts),
        cmocka_unit_test(test_a_name_may_have_anything_in_it),
        cmocka_unit_test(test_the_longest_names_fit_and_longer_ones_are_refused),
        cmocka_unit_test(test_a_pair_comes_back_from_pem_and_der),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
