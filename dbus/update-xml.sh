#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# update-xml.sh GATEWAYD [--check]: writes io.gatewayd.Gateway1.xml anew from what a build with all device types serves, or says
# what differs. The interfaces are those of the root and of one device of each type.

set -eu

gatewayd=$1
here=$(dirname "$0")
root=/io/gatewayd/Gateway1
xml=$here/io.gatewayd.Gateway1.xml
new=$(mktemp)
answer=$(mktemp)
trap 'rm -f "$new" "$answer" "$answer.type"' EXIT

device_types() {
        sed -n "s/.*'devices'.*choices: \[\([^]]*\)\].*/\1/p" "$here/../meson_options.txt" | tr -d " '" | tr ',' '\n'
}

# Our own interfaces of one object; the standard ones belong to the library.
interfaces() {
        "$gatewayd" --bus-introspect="$1" >"$answer"
        sed -n '/<interface name="io\.gatewayd\./,/<\/interface>/p' "$answer"
}

# Device itself is printed with the first type only.
all_interfaces() {
        interfaces "$root"
        seen=
        for type in $(device_types); do
                interfaces "$root/device/$(echo "$type" | sed 's/_/_5f/g')/x" >"$answer.type"
                if [ -n "$seen" ]; then
                        sed -i '/<interface name="io\.gatewayd\.Gateway1\.Device">/,/<\/interface>/d' "$answer.type"
                fi
                cat "$answer.type"
                seen=yes
        done
}

{
        echo '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"'
        echo '"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">'
        echo '<!-- SPDX-License-Identifier: Apache-2.0 -->'
        echo '<!-- The interfaces of gatewayd, written by dbus/update-xml.sh. What they mean: gatewayd-dbus(5). -->'
        echo '<node>'
        all_interfaces
        echo '</node>'
} >"$new"

if [ "${2:-}" = --check ]; then
        diff -u "$xml" "$new"
else
        cp "$new" "$xml"
fi
