#!/bin/sh
# Fuzzes a target: sh tests/fuzz/run.sh TARGET [SECONDS]; without arguments, the names of the targets.
# sh tests/fuzz/run.sh --minimise TARGET writes the committed corpus anew from what was found.
# Needs a nightly compiler (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz).
set -eu
cd "$(dirname "$0")/../.."
work=target/fuzz

if [ $# = 0 ]; then
    ls tests/fuzz/bin | sed 's/\.rs$//'
    exit
fi
minimise=
if [ "$1" = --minimise ]; then
    minimise=yes
    shift
fi
target=$1
seconds=${2:-600}
committed=tests/fuzz/corpus/$target
[ -f "tests/fuzz/bin/$target.rs" ] || { echo "tests/fuzz/run.sh: no target $target" >&2; exit 64; }

# Our code has no unsafe and says itself when something is wrong, so no sanitizer: three times as many runs.
cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$work/build" --sanitizer none "$target"
program=$(find "$work/build" -path "*/release/$target" -type f | head -n 1)
mkdir -p "$work/corpus/$target" "$work/artifacts/$target" "$committed"

if [ "$minimise" ]; then
    rm -rf "$work/small"
    mkdir "$work/small"
    # Small inputs are read first, so those are kept; large ones are left to the grown corpus.
    "$program" -merge=1 -max_len=6000 -rss_limit_mb=2048 "$work/small" "$committed" "$work/corpus/$target"
    rm -rf "$committed"
    mv "$work/small" "$committed"
    du -sb "$committed"
    exit
fi

case $target in
    cfb | zip | file) length=16000 ;;
    message) length=12000 ;;
    *) length=4000 ;;
esac
case $target in
    header | message | mime) words=mail ;;
    vba_*) words=vba ;;
    milter_*) words=milter ;;
    smtp_*) words=smtp ;;
    *) words=$target ;;
esac
SEKISHO_FUZZ_SEEDS=$work/seeds cargo test --quiet --test tests fuzz::seeds_can_be_written
exec "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len="$length" -print_final_stats=1 \
    -dict="tests/fuzz/dict/$words.dict" -artifact_prefix="$work/artifacts/$target/" \
    "$work/corpus/$target" "$committed" "$work/seeds/$target"
