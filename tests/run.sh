#!/bin/sh
# All tests, with everything they need: bash tests/run.sh
# (SEKISHO_MUTANTS=COUNT for more mutants of the samples; fuzzing is apart: docs/testing.md)
#
# As root on Debian or Ubuntu missing programs are installed; elsewhere they are named. Tests that lack a program
# say so and skip; with CI=true that is a failure. Nothing outside loopback is contacted, and the Postfix of the
# tests is one of their own: the system's is neither started nor changed.
set -eu
cd "$(dirname "$0")/.."

# Program, and the package it is in.
NEEDED="cc:gcc postfix:postfix swaks:swaks miltertest:miltertest strace:strace systemd-analyze:systemd systemctl:systemd unshare:util-linux systemd-sysusers:systemd systemd-tmpfiles:systemd faketime:faketime mount:mount 7z:p7zip-full openssl:openssl python3:python3 gpg:gnupg gzip:gzip bzip2:bzip2 xz:xz-utils zstd:zstd tar:tar jlha:jlha-utils arj:arj gcab:gcab genisoimage:genisoimage qemu-img:qemu-utils tesseract:tesseract-ocr bsdtar:libarchive-tools unzip:unzip qpdf:qpdf"

missing() {
    for pair in $NEEDED; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair##*:}"
    done
    perl -MNet::SSLeay -e 1 2>/dev/null || printf 'libnet-ssleay-perl '
    # A language is no program.
    ls /usr/share/tesseract-ocr/*/tessdata/jpn.traineddata >/dev/null 2>&1 || printf 'tesseract-ocr-jpn '
}

install_packages() {
    # A package must not start daemons on this machine: 101 means "not allowed" (policy-rc.d, invoke-rc.d(8)).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # Postfix asks what to configure: nothing, the tests bring their own.
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections 2>/dev/null || true
    apt-get update -qq </dev/null
    # shellcheck disable=SC2086 # several words are meant
    apt-get install -y -qq --no-install-recommends $1 </dev/null >/dev/null
}

want=$(missing)
if [ -n "$want" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "tests/run.sh: installing $want"
    install_packages "$want" || echo "tests/run.sh: that failed"
    want=$(missing)
fi
if [ -n "$want" ]; then
    echo "tests/run.sh: missing: $want" >&2
    [ "${CI:-}" != true ] || exit 1
    echo "tests/run.sh: tests that need them will say SKIPPED" >&2
fi
if [ "$(id -u)" != 0 ]; then
    echo "tests/run.sh: not root: the tests with a real Postfix will say SKIPPED" >&2
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "tests/run.sh: missing: cargo (https://rustup.rs)" >&2
    exit 1
fi

cargo test --locked --doc </dev/null
if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast </dev/null
else
    # The program that tries the wall; nextest builds it by itself.
    cargo build --locked --example ordeal </dev/null
    cargo test --locked --no-fail-fast --lib --bins --tests </dev/null
fi

echo "tests/run.sh: all tests passed"
