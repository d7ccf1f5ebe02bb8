#!/bin/sh
# A device test with curl and jq, against the Berth at $BERTH_URL, which serves devices at $BERTH_COAP.
set -eu
berth=${BERTH_URL:-http://127.0.0.1:8080}
coap=${BERTH_COAP:-coap://127.0.0.1:5683}
ep=shell-$$

# call METHOD PATH [CURL OPTION...]: prints the answer; what Berth says about an error goes to standard error.
call() {
    method=$1 path=$2
    shift 2
    answer=$(curl --silent --show-error --fail-with-body --request "$method" "$@" "$berth$path") || {
        echo "$method $path: $answer" >&2
        return 1
    }
    echo "$answer"
}

# Where the log of events ends now.
cursor() { call GET /v1/events/last | jq .last; }

# await CURSOR CONDITION: prints the event of the device that comes after the cursor, or has come.
await() {
    body=$(jq --null-input --argjson after "$1" --arg endpoint "$ep" \
        "{after: \$after, endpoint: \$endpoint, timeout: \"10s\"} + $2")
    call POST /v1/wait --json "$body"
}

leap() { call POST /v1/clock --json "{\"advance\": \"$1\"}" >/dev/null; }

# check WHAT ACTUAL EXPECTED
check() {
    [ "$2" = "$3" ] || { echo "FAILED: $1: $2 instead of $3" >&2; exit 1; }
    echo "ok: $1"
}

# The device under test. Start yours here instead. Its commands come through a pipe.
place=$(mktemp -d)
mkfifo "$place/commands"
"${BERTH_DEVICE:-berth-device}" --server "$coap" --endpoint "$ep" <"$place/commands" >"$place/log" 2>&1 &
device=$!
exec 3>"$place/commands"
trap 'kill -9 $device 2>/dev/null || true; rm -rf "$place"' EXIT

lifetime=$(call GET "/v1/devices/$ep?wait=registered&timeout=10s" | jq .lifetime_s)
check 'registers for five minutes' "$lifetime" 300

call PUT "/v1/devices/$ep/3/0/14" --header 'Content-Type: text/plain' --data '+02:00'
check 'keeps what is written' "$(call GET "/v1/devices/$ep/3/0/14" --header 'Accept: text/plain')" '+02:00'

call PUT "/v1/devices/$ep/3303/0/5700/observe" >/dev/null
before=$(cursor)
echo 'set 3303/0/5700 26.5' >&3
warm=$(await "$before" '{type: "notification", match: {path: "/3303/0/5700", value: {gte: 25}}}' | jq .value)
check 'tells when it gets warm' "$warm" 26.5

call DELETE "/v1/devices/$ep"
before=$(cursor)
echo 'update' >&3 # which is answered with 4.04
check 'registers anew when the server has forgotten it' \
    "$(await "$before" '{type: "registered"}' | jq --raw-output .type)" registered

kill -9 "$device"
before=$(cursor)
leap 5m
await "$before" '{type: "expired", absent: true, timeout: "0s"}' >/dev/null
leap 2m
check 'expires when it dies, and not before' "$(await "$before" '{type: "expired"}' | jq --raw-output .type)" expired
