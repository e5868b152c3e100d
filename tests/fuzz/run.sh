#!/bin/sh
# Fuzzes a target: sh tests/fuzz/run.sh TARGET [SECONDS]; without arguments, the names of the targets.
# sh tests/fuzz/run.sh --minimise TARGET writes the committed corpus anew, from it and what was found.
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

# Our code has no unsafe and says itself when something is wrong, so no sanitizer: it would only take time.
cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$work/build" --sanitizer none "$target"
program=$(find "$work/build" -path "*/release/$target" -type f | head -n 1)
mkdir -p "$work/corpus/$target" "$work/artifacts/$target" "$committed"

SEKISHO_FUZZ_SEEDS=$work/seeds cargo test --quiet --test tests fuzz::seeds_can_be_written

if [ "$minimise" ]; then
    # Beyond the seeds, which are replayed too, by the code that is covered; the largest go until the rest fits.
    small=$work/small
    rm -rf "$small"
    cp -r "$work/seeds/$target" "$small"
    "$program" -merge=1 -use_counters=0 -max_len=700 -rss_limit_mb=2048 "$small" "$committed" "$work/corpus/$target"
    rm -f "$small"/seed-*
    while [ "$(cat "$small"/* | wc -c)" -gt 85000 ]; do
        rm "$small/$(ls -S "$small" | head -n 1)"
    done
    rm -rf "$committed"
    mv "$small" "$committed"
    exit
fi

case $target in
    cfb | encryption | image | zip | file) length=16000 ;;
    message | picture) length=12000 ;;
    *) length=4000 ;;
esac
case $target in
    header | message | mime) words=mail ;;
    vba_* | commands) words=vba ;;
    strings | metafile | cells) words=excel4 ;;
    flat | smuggling) words=markup ;;
    links) words=rtf ;;
    milter_*) words=milter ;;
    smtp_*) words=smtp ;;
    cms | signed_code | tnef | uu) words=wrappings ;;
    *) words=$target ;;
esac
exec "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len="$length" -print_final_stats=1 \
    -dict="tests/fuzz/dict/$words.dict" -artifact_prefix="$work/artifacts/$target/" \
    "$work/corpus/$target" "$committed" "$work/seeds/$target"
