#!/bin/sh
# Lays out what is in the image: one program, what it links, the shipped law, and nothing else.
# deploy/Dockerfile runs it in its build stage; with a program that stands already and
# deploy/Dockerfile.prebuilt an image is built without any base image:
#
#   cargo rustc --release --locked --bin domicile -- -C target-feature=+crt-static
#   sh deploy/rootfs.sh target/release/domicile /tmp/image
#   buildah build -f deploy/Dockerfile.prebuilt -t domicile /tmp/image
set -eu
if [ $# -ne 2 ] || [ -e "$2" ]; then
    echo "usage: rootfs.sh PROGRAM FOLDER (which must not exist)" >&2
    exit 2
fi
program=$1
root=$2/root
here=$(dirname "$0")/..

# The folder of the state, apart: it alone belongs to the program's user, and a new volume takes its
# owner from it. What the program makes in it nobody else can read.
mkdir -p "$2/state"

mkdir -p "$root/etc/domicile/policies" "$root/usr/share/doc/domicile"
install -m 0755 "$program" "$root/domicile"
# Messages of a panic name file and line all the same.
strip "$root/domicile"
cp -R "$here/policies/law" "$here/policies/vocabulary.toml" "$root/etc/domicile/policies/"
cp "$here/LICENSE" "$here/NOTICE" "$root/usr/share/doc/domicile/"

# A static program has none of these; of any other the loader and the libraries it finds, at the
# very places where it looks for them.
if libraries=$(ldd "$program" 2>/dev/null); then
    echo "$libraries" | sed -nE 's,^[^/]*(/[^ ]+) \(0x[0-9a-f]+\)$,\1,p' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
fi
chmod -R go+rX "$root"
