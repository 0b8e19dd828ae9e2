//! Every way in which a connectivity test fails: its code, the check that it stands at, its real cause, and the test that
//! makes it happen. A code without a row is a failure that nobody has seen.

use std::collections::BTreeSet;
use std::path::Path;

use keywright_domain::reason::Reason;
use keywright_ssh::FailureCode;

/// Code, check, cause, and the test as `file::function` of this folder. What is to fail no test stands at the end, as HEALTHY.
const TABLE: &str = "
KEY_UNPARSABLE          | key            | a sentence in place of a key                                                 | keys::table_of_keys_that_are_refused
KEY_TRUNCATED           | key            | a file without its last line                                                 | keys::table_of_keys_that_are_refused
KEY_UNSUPPORTED         | key            | another kind of key (Ed448)                                                  | keys::table_of_keys_that_are_refused
KEY_TOO_WEAK            | key            | RSA of 1024 bits                                                             | keys::table_of_keys_that_are_refused
KEY_KDF_TOO_EXPENSIVE   | key            | a costly derivation from the passphrase                                      | keys::table_of_keys_that_are_refused
PUBLIC_KEY_GIVEN        | key            | the public half                                                              | keys::table_of_keys_that_are_refused
CERTIFICATE_GIVEN       | key            | a certificate                                                                | keys::table_of_keys_that_are_refused
MULTIPLE_KEYS           | key            | two keys                                                                     | keys::table_of_keys_that_are_refused
PASSPHRASE_REQUIRED     | passphrase     | none for an encrypted key                                                    | findings::an_encrypted_key_needs_its_passphrase_and_without_it_nobody_is_contacted
PASSPHRASE_INCORRECT    | passphrase     | that of another key                                                          | findings::an_encrypted_key_needs_its_passphrase_and_without_it_nobody_is_contacted
TARGET_NOT_ALLOWED      | dns            | the address of a metadata service                                            | findings::a_closed_port_refuses_and_a_forbidden_address_is_not_dialled
TARGET_NOT_ALLOWED      | dns            | a name with one forbidden address                                            | networks::table_of_addresses_without_a_path
HOST_RESOLUTION_FAILED  | dns            | a name that nobody knows                                                     | causes::a_name_that_nobody_knows_is_not_resolved
NETWORK_UNREACHABLE     | tcp            | no route; a router that knows no way or forbids it; IPv4 and IPv6            | networks::table_of_addresses_without_a_path
CONNECTION_REFUSED      | tcp            | nobody listens, on any address of the name                                   | networks::table_of_addresses_without_a_path
CONNECT_TIMEOUT         | tcp            | a filter that drops every packet                                             | networks::table_of_addresses_without_a_path
SERVER_BUSY             | handshake      | MaxStartups of OpenSSH 9 and 10                                              | busy::a_server_at_its_limit_of_logins_under_way_is_busy_until_one_ends
SERVER_BUSY             | handshake      | PerSourcePenalties after refused logins                                      | busy::a_server_that_penalizes_refused_logins_is_busy_from_the_first_penalized_test_on
NOT_AN_SSH_SERVER       | handshake      | HTTP, SMTP, TLS, a database, RFB, a lie, an endless greeting                 | impostors::table_of_what_is_no_ssh_server
HANDSHAKE_TIMEOUT       | handshake      | silence; a banner byte by byte; a key exchange that never ends or is flooded | impostors::table_of_exchanges_that_never_end
HANDSHAKE_TIMEOUT       | handshake      | a stall within the key exchange                                              | impostors::table_of_connections_that_are_lost_on_the_way
HANDSHAKE_TIMEOUT       | authentication | a directory of keys that does not answer the server                          | impostors::a_server_that_stalls_within_the_login_is_named
CONNECTION_CLOSED       | handshake      | an end at once, or after the banner                                          | impostors::a_server_that_closes_at_once_or_after_its_banner_is_named
CONNECTION_CLOSED       | authentication | a connection that is cut within the login                                    | impostors::table_of_connections_that_are_lost_on_the_way
CONNECTION_CLOSED       | session        | the server's process ends after the login                                    | impostors::table_of_sessions_that_never_end
NO_COMMON_ALGORITHM     | handshake      | a server of yesterday: SHA-1 alone                                           | causes::a_server_of_yesterday_has_no_algorithm_in_common
NO_COMMON_ALGORITHM     | handshake      | version 1 of the protocol                                                    | impostors::table_of_what_is_no_ssh_server
HOST_KEY_UNKNOWN        | host-key       | nothing is pinned                                                            | findings::an_unknown_host_key_stops_before_any_authentication_and_shows_what_to_approve
HOST_KEY_MISMATCH       | host-key       | a reinstalled server                                                         | findings::a_changed_host_key_fails_closed_with_both_fingerprints
HOST_KEY_MISMATCH       | host-key       | none of several pinned keys                                                  | findings::a_server_of_which_other_keys_are_pinned_fails_closed_with_all_fingerprints
AUTHENTICATION_REJECTED | authentication | another key, another user                                                    | findings::a_wrong_key_or_user_is_rejected
AUTHENTICATION_REJECTED | authentication | locked, expired, removed; file modes; from=, expiry-time=                    | causes::table_of_what_is_done_to_accounts
AUTHENTICATION_REJECTED | authentication | DenyUsers, PubkeyAuthentication no                                           | causes::table_of_what_a_server_is_told
AUTHENTICATION_REJECTED | authentication | AllowUsers without the account                                               | causes::an_account_that_is_not_among_the_allowed_is_rejected
MORE_FACTORS_REQUIRED   | authentication | AuthenticationMethods publickey,password                                     | causes::table_of_what_a_server_is_told
NOLOGIN                 | session        | nologin or false as the shell; /etc/nologin                                  | causes::table_of_what_is_done_to_accounts
FORCED_COMMAND          | session        | command= in authorized_keys                                                  | findings::what_stands_in_for_a_shell_is_named
FORCED_COMMAND          | session        | ForceCommand                                                                 | causes::table_of_what_a_server_is_told
FORCED_COMMAND          | session        | a shell that floods its output                                               | impostors::table_of_sessions_that_never_end
SESSION_REFUSED         | session        | MaxSessions 0                                                                | findings::a_server_that_opens_no_session_is_told_from_one_without_facts
SESSION_REFUSED         | session        | ChrootDirectory without a shell                                              | causes::table_of_what_a_server_is_told
SESSION_REFUSED         | session        | a shell that stalls, or trickles for ever                                    | impostors::table_of_sessions_that_never_end
RUNTIME_UNREADABLE      | runtime        | facts that are missing                                                       | findings::a_server_that_opens_no_session_is_told_from_one_without_facts
RUNTIME_UNREADABLE      | runtime        | a stall, a flood or an end within the facts                                  | impostors::table_of_sessions_that_never_end
HEALTHY                 |                | a shell that prints before it answers                                        | causes::what_is_odd_but_works_is_healthy
HEALTHY                 |                | a name of which one address refuses or is filtered                           | networks::table_of_names_with_two_addresses
HEALTHY                 |                | an IPv6 address                                                              | networks::a_server_that_is_registered_by_its_ipv6_address_is_healthy
HEALTHY                 |                | thirty tests in a row at a server that penalizes                             | busy::healthy_tests_cost_nothing_at_a_server_that_keeps_account
";

/// Codes of the checks `key` and `passphrase`. `PUBLIC_KEY_MISMATCH` is not among them: a test is given no public key.
const OF_KEYS: [Reason; 10] = [
    Reason::KeyUnparsable,
    Reason::KeyTruncated,
    Reason::KeyUnsupported,
    Reason::KeyTooWeak,
    Reason::KeyKdfTooExpensive,
    Reason::PublicKeyGiven,
    Reason::CertificateGiven,
    Reason::MultipleKeys,
    Reason::PassphraseRequired,
    Reason::PassphraseIncorrect,
];

/// The text of a test function of this folder.
fn source(test: &str) -> String {
    let (file, function) = test.split_once("::").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file).with_extension("rs");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{test}: {error}"));
    let start = text.find(&format!("#[tokio::test]\nasync fn {function}()"));
    let rest = &text[start.unwrap_or_else(|| panic!("there is no test {test}"))..];
    rest[..rest.find("\n}\n").unwrap()].to_owned()
}

#[test]
fn table_of_failures_covers_every_code_and_names_tests_that_look_for_it() {
    let mut named = BTreeSet::new();
    for row in TABLE.trim().lines() {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [code, check, _, test] = columns[..] else { panic!("not a row: {row}") };
        let body = source(test);
        if code == "HEALTHY" {
            assert!(body.contains("assert_healthy("), "{test} does not look for it");
            continue;
        }
        for word in [code, check] {
            assert!(body.contains(&format!("\"{word}\"")), "{test} does not look for {word}");
        }
        named.insert(code);
    }
    println!("{TABLE}");
    let of_keys = OF_KEYS.iter().map(|reason| reason.as_str());
    let all: BTreeSet<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).chain(of_keys).collect();
    assert_eq!(named, all);
}
