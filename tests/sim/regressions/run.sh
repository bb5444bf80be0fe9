#!/bin/sh
# run.sh PERDURE_SIM: plays the seeds of the file beside it.
set -eu
failed=0
while read -r line; do
    # shellcheck disable=SC2086 # the options are words
    "$1" --quiet ${line%%#*} >/dev/null || failed=1
done <"$(dirname "$0")/seeds"
exit $failed
