#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# test-units.sh GATEWAYD UNIT…: systemd finds nothing to say about the units, and the service is well shut in. The program is taken from
# the build, as it is not installed yet.

set -eu

gatewayd=$(realpath "$1")
shift
threshold=20            # exposure 2.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for unit in "$@"; do
        sed "s|^ExecStart=[^ ]*/gatewayd|ExecStart=$gatewayd|" "$unit" >"$folder/${unit##*/}"
done
cd "$folder"

said=$(systemd-analyze verify --man=no ./* 2>&1) || { echo "$said"; exit 1; }
if [ -n "$said" ]; then
        echo "$said"
        exit 1
fi
systemd-analyze security --offline=yes --threshold=$threshold --no-pager ./gatewayd.service
