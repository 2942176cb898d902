#!/usr/bin/env bash
# vulncheck.sh: govulncheck over the module in the current directory, against the copy of the Go vulnerability database that
# go.mod pins (the live one may not be reachable). The database is data, refreshed by hand: go get -tool golang.org/x/vulndb/cmd/indexdb@latest.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
version=$(cd "$tools" && go list -m -f '{{.Version}}' golang.org/x/vulndb)
db=${OTTLA_CACHE:-$HOME/.cache/ottla}/vulndb-$version
if [ ! -e "$db/.complete" ]; then
  rm -rf "$db"; mkdir -p "$db"
  source=$(cd "$tools" && go mod download -json golang.org/x/vulndb | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  (cd "$tools" && go tool indexdb -vulns "$source/data/osv" -out "$db")
  touch "$db/.complete"
fi
exec go tool -modfile="$tools/go.mod" govulncheck -db "file://$db" "$@"
