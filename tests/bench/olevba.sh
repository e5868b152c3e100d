#!/bin/sh
# CPU seconds of `sekisho scan` beside those of olevba over the same documents: olevba.sh SEKISHO [FOLDER]
#
# olevba is asked by its API, in one process, so that no start of an interpreter counts. Without FOLDER the
# documents within the samples are compared. Needs python3 with venv, and a package index that pip can reach.
set -eu
sekisho=$(realpath "${1:?usage: olevba.sh SEKISHO [FOLDER]}")
samples=$(realpath "$(dirname "$0")/../../samples")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -ge 2 ]; then
    folder=$(realpath "$2")
else
    folder=$work/documents
    mkdir "$folder"
    python3 - "$samples" "$folder" <<'PYTHON'
import email, os, sys
samples, folder = sys.argv[1:]
for sample in sorted(os.listdir(samples)):
    if not sample.endswith('.eml'):
        continue
    with open(os.path.join(samples, sample), 'rb') as file:
        message = email.message_from_binary_file(file)
    for number, part in enumerate(message.walk()):
        content = part.get_payload(decode=True)
        if part.get_filename() and content:
            ending = os.path.splitext(part.get_filename())[1]
            with open(os.path.join(folder, f'{sample}-{number}{ending}'), 'wb') as out:
                out.write(content)
PYTHON
fi
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet oletools==0.60.2
cat > "$work/olevba.py" <<'PYTHON'
import logging, sys
from oletools.olevba import VBA_Parser
logging.disable(logging.CRITICAL)
failed = 0
for path in sys.argv[1:]:
    try:
        parser = VBA_Parser(path)
        if parser.detect_vba_macros():
            parser.analyze_macros()
        parser.close()
    except Exception:
        failed += 1
print(failed)
PYTHON
cat > "$work/compare.py" <<'PYTHON'
import json, os, resource, statistics, subprocess, sys
sekisho, folder, work = sys.argv[1:]
endings = ('.doc', '.docm', '.docx', '.dotm', '.xls', '.xlsb', '.xlsm', '.xlsx', '.ppt', '.pptm', '.pptx', '.bin', '.rtf')
files = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name.lower().endswith(endings))
if not files:
    sys.exit(f'no documents of Office in {folder}')

def run(files, *command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout

def encrypted(line):
    """Whether passwords were tried: what that costs, the sender decides."""
    return any(finding['id'].startswith(('document-encrypted', 'document-default', 'document-password'))
               for finding in json.loads(line).get('findings', []))

def compare(files):
    ours, lines = run(files, sekisho, 'scan', '--json', '-j', '1')
    theirs, failed = run(files, f'{work}/venv/bin/python', f'{work}/olevba.py')
    return ours, theirs, failed.decode().strip(), lines.splitlines()

ours, theirs, failed, lines = compare(files)
times = sorted(1000 * json.loads(line).get('seconds', 0) for line in lines)
plain = [file for file, line in zip(files, lines) if not encrypted(line)]
print(f'{len(files)} documents, {sum(map(os.path.getsize, files)) / 1e6:.1f} MB; olevba could not open {failed}')
print(f'CPU seconds: sekisho {ours:.2f}, olevba {theirs:.2f}: {theirs / ours:.1f} times')
print(f'a scan: median {statistics.median(times):.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, longest {times[-1]:.1f} ms')
if len(plain) < len(files):
    ours, theirs, _, _ = compare(plain)
    print(f'without the {len(files) - len(plain)} encrypted ones: sekisho {ours:.2f}, olevba {theirs:.2f}: {theirs / ours:.1f} times')
PYTHON
python3 "$work/compare.py" "$sekisho" "$folder" "$work"
