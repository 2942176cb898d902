#!/bin/bash
# Installs the engines that the tests of this directory run: Kafka Connect, Spark with its connector, Flume, Storm. About 850 MB, hence no part of
# ../install.sh. Idempotent; quick when all is there. Needs Java 17 with Maven and Python 3.11 with venv; asks only Maven's and PyPI's registries.
# All that it makes lies in ${OTTLA_TEST_CACHE:-~/.cache/ottla-test}/engines.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${OTTLA_TEST_CACHE:-$HOME/.cache/ottla-test}/engines
mkdir -p "$cache"
exec 9>"$cache/.lock"; flock 9

# done_for NAME INPUT…: has this step been done for exactly these inputs? Otherwise the caller does it and calls mark NAME INPUT….
stamp() { printf '%s\n' "${@:2}" | sha256sum | cut -d' ' -f1; }
done_for() { [ "$(cat "$cache/.$1" 2>/dev/null)" = "$(stamp "$@")" ]; }
mark() { stamp "$@" >"$cache/.$1"; }

# Of Spark's connector only what pyspark does not have: other versions of its own jars would come before them.
declare -A only=([spark]=-DincludeArtifactIds=spark-sql-kafka-0-10_2.13,spark-token-provider-kafka-0-10_2.13,kafka-clients,commons-pool2)
for engine in connect flume spark storm; do
  pom=$here/$engine/pom.xml
  done_for $engine "$(cat "$pom")" && continue
  rm -rf "$cache/$engine"; mkdir -p "$cache/$engine"
  mvn -q -B -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$cache/$engine" ${only[$engine]:-} >&2
  mark $engine "$(cat "$pom")"
done

if ! done_for topology "$(cat "$here/storm/pom.xml" "$here"/storm/*.java)"; then
  rm -rf "$cache/storm/classes"; mkdir -p "$cache/storm/classes"
  javac -nowarn -d "$cache/storm/classes" -cp "$cache/storm/*" "$here"/storm/*.java
  mark topology "$(cat "$here/storm/pom.xml" "$here"/storm/*.java)"
fi

if ! done_for venv "$(cat "$here/spark/requirements.txt")" "$(python3 --version)"; then
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install -q --disable-pip-version-check --no-input -r "$here/spark/requirements.txt"
  mark venv "$(cat "$here/spark/requirements.txt")" "$(python3 --version)"
fi
