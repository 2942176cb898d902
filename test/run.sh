#!/bin/bash
# All that CI runs of this module, in order: the installer, foreign clients, crashes, the short benchmark. About fifteen minutes on two cores.
# OTTLA_BIN names the binary under test; without it ../bin/ottla, or a fresh build. OTTLA_TEST_PEER=kafka runs the suite against Apache
# Kafka 4.3.1 instead, as a check of the suite itself.
set -euo pipefail
cd "$(dirname "$0")"
./install.sh
./env
if [ -z "${OTTLA_BIN:-}" ]; then
  [ -x ../bin/ottla ] || (cd .. && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ottla ./cmd/ottla)
  OTTLA_BIN=$PWD/../bin/ottla
fi
export OTTLA_BIN
go test -p 1 -count=1 -timeout 15m ./...
if [ "${OTTLA_TEST_PEER:-ottla}" = kafka ]; then go run ./bench -short -ottla=false -kafka -rounds 1; else go run ./bench -short; fi
