#!/usr/bin/env bash
# dist-check.sh: that 'make dist' makes the same bytes in another directory, with other times, rights and caches; and that what it made for this
# platform is in order. One platform, so that it takes a minute or two: the second build begins with nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
arch=$(go env GOARCH)
export PLATFORMS=linux/$arch
fail() { echo "dist-check: $*" >&2; exit 1; }

make --no-print-directory dist DIST="$work/first"

# The second checkout is a copy without .git, so it is told what git would say. Modules come from the cache of the first: there is nothing to download.
version=$(git describe --tags --always --dirty --abbrev=12) commit=$(git rev-parse HEAD) epoch=$(git log -1 --format=%ct)
toolchain=$(sed -n 's/^toolchain //p' go.mod)
goroot=$(GOTOOLCHAIN=$toolchain go env GOROOT) modules=$(go env GOMODCACHE)
mkdir -p "$work/elsewhere/deeper" "$work/home"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$work/elsewhere/deeper" -xmf -
(
  cd "$work/elsewhere/deeper"
  umask 077
  env HOME="$work/home" GOPATH="$work/gopath" GOCACHE="$work/cache" PATH="$goroot/bin:$PATH" GOTOOLCHAIN=local GOPROXY="file://$modules/cache/download" GOSUMDB=off \
    TZ=Asia/Kathmandu LC_ALL=C GOFLAGS=-buildvcs=true GOAMD64=v3 \
    make --no-print-directory dist DIST="$work/second" VERSION="$version" COMMIT="$commit" SOURCE_DATE_EPOCH="$epoch" RELEASED_BY=local
)
diff -r "$work/first" "$work/second" || fail "two builds of one commit differ"
(cd "$work/first" && sha256sum --quiet -c SHA256SUMS)

# The archive works, and the binary needs no library.
mkdir "$work/archive" "$work/deb" "$work/root"
tar -C "$work/archive" --strip-components=1 -xzf "$work"/first/ottla-*-linux-"$arch".tar.gz
"$work/archive/ottla" version | grep -F "ottla $version (commit $commit" >/dev/null || fail "ottla version does not name the commit"
! readelf -l "$work/archive/ottla" 2>/dev/null | grep INTERP >/dev/null || fail "the binary is not static"
tar -tvzf "$work/first/rootfs-$arch.tar.gz" --numeric-owner | grep '^drwxr-x--- 65532/65532 .*var/lib/ottla/$' >/dev/null || fail "the data directory of the image is not its user's"
grep -q '^USER 65532:65532$' deploy/Containerfile || fail "deploy/Containerfile has another user than the data directory"

# The configuration that is installed is one that serve takes.
"$work/archive/ottla" config print --config "$work/archive/ottla.yaml" | grep /var/lib/ottla >/dev/null || fail "deploy/ottla.yaml is not read"

if command -v dpkg-deb >/dev/null; then
  deb=("$work"/first/ottla_*_"$arch".deb)
  dpkg-deb -x "${deb[0]}" "$work/deb"
  dpkg-deb -e "${deb[0]}" "$work/control"
  cmp "$work/archive/ottla" "$work/deb/usr/bin/ottla"
  for script in postinst prerm postrm; do sh -n "$work/control/$script"; done
  (cd "$work/deb" && md5sum --quiet -c "$work/control/md5sums")
  grep -qx /etc/ottla/ottla.yaml "$work/control/conffiles" || fail "ottla.yaml is no conffile"
  dpkg-deb -c "${deb[0]}" | awk '$2 != "root/root" { print; bad = 1 } END { exit bad }' || fail "not all of the package is root's"
fi
if command -v systemd-analyze >/dev/null; then
  # Its paths are those of the package, so the package's root is where they are looked up.
  unit=usr/lib/systemd/system/ottla.service
  sed -i "s#/usr/bin/ottla#$work/deb/usr/bin/ottla#" "$work/deb/$unit"
  said=$(systemd-analyze verify --man=no "$work/deb/$unit" 2>&1 | grep -F ottla.service || true)
  [ -z "$said" ] || fail "systemd-analyze verify: $said"
  systemd-analyze security --offline=true --threshold=20 "$work/deb/$unit" >/dev/null || fail "the unit is less confined than it was: systemd-analyze security --offline=true deploy/systemd/ottla.service"
fi
echo "dist-check: the same bytes twice, and in order"
