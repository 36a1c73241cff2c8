#!/bin/sh
# need.sh STAGE...: sees that the machine has what a stage needs. On Debian, as root, it installs the packages that are
# missing; elsewhere, and for what no package has, it says what is missing and how to get it, and fails.
#
# stage: cargo   building our programs and their tests
#        go      building upstream's
#        images  making the container images
#        rig     running a cluster on this machine
set -eu

# stage   found by (a command or a file)     Debian package, or - and what to do
needs='
cargo     cargo                              - Rust 1.95 or newer: https://rustup.rs
cargo     cc                                 gcc
cargo     /usr/include/stdlib.h              libc6-dev
cargo     mold                               mold
cargo     protoc                             protobuf-compiler
go        go                                 - Go 1.26 or newer: https://go.dev/dl/ unpacked to /usr/local/go
go        /etc/ssl/certs/ca-certificates.crt ca-certificates
go        gcc                                gcc
go        /usr/include/stdlib.h              libc6-dev
go        pkg-config                         pkg-config
go        /usr/include/seccomp.h             libseccomp-dev
images    gcc                                gcc
images    /usr/include/stdlib.h              libc6-dev
images    mmdebstrap                         mmdebstrap
images    make                               make
images    bzip2                              bzip2
rig       ip                                 iproute2
rig       nft                                nftables
rig       nsenter                            util-linux
rig       mount                              mount
'
PATH=$PATH:/usr/local/go/bin:${HOME:-/root}/.cargo/bin:/usr/sbin:/sbin

# Prints the lines of the wanted stages whose command or file is not there.
lacking() {
    echo "$needs" | while read -r stage found how; do
        case " $stages " in *" $stage "*) ;; *) continue ;; esac
        case $found in
            /*) [ -e "$found" ] || echo "$found $how" ;;
            *) command -v "$found" >/dev/null 2>&1 || echo "$found $how" ;;
        esac
    done | sort -u
}

stages=$*
[ -n "$stages" ] || { echo "usage: $0 cargo|go|images|rig..." >&2; exit 2; }
missing=$(lacking)
packages=$(echo "$missing" | awk 'NF && $2 != "-" { print $2 }' | sort -u | tr '\n' ' ')

if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    install() { apt-get install -y -q --no-install-recommends $packages </dev/null; }
    # The package lists of a fresh machine are empty or old; those of others need no refresh.
    install >/dev/null 2>&1 || { apt-get update -q </dev/null && install; } ||
        { echo "apt-get could not install $packages(its reasons are above)" >&2; exit 1; }
    missing=$(lacking)
    packages=$(echo "$missing" | awk 'NF && $2 != "-" { print $2 }' | sort -u | tr '\n' ' ')
fi

[ -n "$missing" ] || exit 0
{
    echo "missing on this machine:"
    echo "$missing" | awk '{ found = $1; $1 = ""; if ($2 == "-") sub(/^ - /, ": "); else sub(/^ /, ": Debian package "); print "  " found $0 }'
    [ -z "$packages" ] || echo "on Debian or Ubuntu: sudo apt-get install -y $packages"
} >&2
exit 1
