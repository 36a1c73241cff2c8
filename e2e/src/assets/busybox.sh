# busybox.sh SUITE MIRROR OUT: builds busybox 1.37 from the source package of a Debian release, statically linked, into OUT.
suite=$1 mirror=$2 out=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >sources.list
# Lists and caches of our own: the machine's sources stay as they are.
apt() {
    apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
apt update
apt source --download-only busybox
tar xf busybox_1.37*.orig.tar.*
cd busybox-1.37*/
make defconfig
# Its traffic control does not compile with the headers of newer kernels.
sed -i -e 's/^CONFIG_TC=y/# CONFIG_TC is not set/' -e 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config
make -j"$(nproc)" busybox
cp busybox "$out"
