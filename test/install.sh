#!/bin/bash
# Installs what the tests of this module drive: foreign Kafka clients and Kafka's own tools. Idempotent; quick when all is there.
# Needs Go, Java 17 with Maven, Python 3.11 with venv, Node 20 with npm, gcc. Asks only Debian's, PyPI's, Maven's and npm's registries, by
# their own clients.
# All that it makes lies in ${OTTLA_TEST_CACHE:-~/.cache/ottla-test}, outside the tree; test/env prints the versions.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${OTTLA_TEST_CACHE:-$HOME/.cache/ottla-test}
mkdir -p "$cache"

# One installer at a time: `make test` in two trees on one machine shares the cache.
exec 9>"$cache/.lock"; flock 9

# done_for NAME INPUT…: has this step been done for exactly these inputs? Otherwise the caller does it and calls mark NAME INPUT….
stamp() { printf '%s\n' "${@:2}" | sha256sum | cut -d' ' -f1; }
done_for() { [ "$(cat "$cache/.$1" 2>/dev/null)" = "$(stamp "$@")" ]; }
mark() { stamp "$@" >"$cache/.$1"; }

# Debian: kcat, librdkafka with its load generator's source, the tools of the power cut, a terminal.
debian="kcat librdkafka-dev gcc g++ make libc6-dev e2fsprogs mount python3-venv unzip tmux"
missing=$(for p in $debian; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"; done)
if [ -n "$missing" ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# librdkafka's rdkafka_performance: the cheapest Kafka load generator there is. Debian ships its source beside the library;
# it includes two private headers of librdkafka's tree, of which it uses only what bench/rdkafka/rd.h declares.
if ! done_for rdkafka_performance "$(dpkg-query -W -f='${Version}' librdkafka-dev)" "$(cat "$here/bench/rdkafka/rd.h")"; then
  src=/usr/share/doc/librdkafka-dev/examples/rdkafka_performance.c
  [ -e "$src" ] || src=$src.gz
  rm -rf "$cache/rdkafka"; mkdir -p "$cache/rdkafka/src" "$cache/rdkafka/examples"
  case $src in *.gz) gunzip -c "$src" ;; *) cat "$src" ;; esac >"$cache/rdkafka/examples/rdkafka_performance.c"
  for d in src examples; do cp "$here/bench/rdkafka/rd.h" "$cache/rdkafka/$d/"; : >"$cache/rdkafka/$d/rdtime.h"; done
  echo '#include <librdkafka/rdkafka.h>' >"$cache/rdkafka/examples/rdkafka.h"
  gcc -O2 -w -Werror=implicit-function-declaration -o "$cache/rdkafka_performance" "$cache/rdkafka/examples/rdkafka_performance.c" -lrdkafka
  mark rdkafka_performance "$(dpkg-query -W -f='${Version}' librdkafka-dev)" "$(cat "$here/bench/rdkafka/rd.h")"
fi

# Python: librdkafka in its newest binding, and the pure-Python client with every codec.
if ! done_for venv "$(cat "$here/clients/python/requirements.txt")" "$(python3 --version)"; then
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install -q --disable-pip-version-check --no-input -r "$here/clients/python/requirements.txt"
  mark venv "$(cat "$here/clients/python/requirements.txt")" "$(python3 --version)"
fi

# Java: Kafka 4.3.1's broker, tools and client.
if ! done_for kafka "$(cat "$here/kafka/pom.xml")"; then
  rm -rf "$cache/kafka"; mkdir -p "$cache/kafka"
  mvn -q -B -f "$here/kafka/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$cache/kafka" >&2
  mark kafka "$(cat "$here/kafka/pom.xml")"
fi
if ! done_for java "$(cat "$here"/{clients,groups}/java/*.java "$here/kafka/pom.xml")"; then
  rm -rf "$cache/java"; mkdir -p "$cache/java"
  javac -nowarn -d "$cache/java" -cp "$cache/kafka/*" "$here"/{clients,groups}/java/*.java
  mark java "$(cat "$here"/{clients,groups}/java/*.java "$here/kafka/pom.xml")"
fi
if ! done_for tools "$(cat "$here"/tools/java/*.java "$here/kafka/pom.xml")"; then
  rm -rf "$cache/tools"; mkdir -p "$cache/tools"
  javac -nowarn -d "$cache/tools" -cp "$cache/kafka/*" "$here"/tools/java/*.java
  mark tools "$(cat "$here"/tools/java/*.java "$here/kafka/pom.xml")"
fi
if ! done_for receiver "$(cat "$here"/kafka/java/*.java "$here/kafka/pom.xml")"; then
  rm -rf "$cache/receiver"; mkdir -p "$cache/receiver"
  javac -nowarn -d "$cache/receiver" -cp "$cache/kafka/*" "$here"/kafka/java/*.java
  mark receiver "$(cat "$here"/kafka/java/*.java "$here/kafka/pom.xml")"
fi

# Node: its clients for the tests of groups. Their modules must lie beside the program that imports them.
if ! done_for node "$(cat "$here"/groups/node/*)" "$(node --version)"; then
  rm -rf "$cache/node"; mkdir -p "$cache/node"
  cp "$here"/groups/node/* "$cache/node/"
  (cd "$cache/node" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2)
  mark node "$(cat "$here"/groups/node/*)" "$(node --version)"
fi

# librdkafka's own tests: the source comes with the Rust crate that wraps it.
if ! done_for librdkafka-tests "$(cat "$here/upstream/Cargo.toml")" "$(gcc --version | head -1)"; then
  rm -rf "$cache/librdkafka"; mkdir -p "$cache/librdkafka/crate/src"
  cp "$here/upstream/Cargo.toml" "$cache/librdkafka/crate/"; : >"$cache/librdkafka/crate/src/lib.rs"
  (cd "$cache/librdkafka/crate" && cargo vendor -q vendor >/dev/null)
  mv "$cache/librdkafka/crate/vendor/rdkafka-sys/librdkafka" "$cache/librdkafka/source"; rm -rf "$cache/librdkafka/crate"
  (cd "$cache/librdkafka/source" && ./configure --disable-ssl --disable-gssapi --disable-curl --disable-zstd --disable-lz4-ext \
    && make -j2 libs && make -j2 -C tests CFLAGS="-O0 -w -I../src" build) >"$cache/librdkafka/log" 2>&1 || { tail -50 "$cache/librdkafka/log" >&2; exit 1; }
  mark librdkafka-tests "$(cat "$here/upstream/Cargo.toml")" "$(gcc --version | head -1)"
fi
