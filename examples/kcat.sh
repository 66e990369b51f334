#!/bin/sh
# A JSON message in, the response keyed by its id out, with kcat alone.
#
#   sh examples/kcat.sh 127.0.0.1:9092 [PREFIX] [SECONDS]
set -eu

bootstrap=${1:-127.0.0.1:9092}
prefix=${2:-embedding}
seconds=${3:-30}

id="kcat-$$-$(date +%s)"
work=$(mktemp -d)
reader=
trap 'test -z "$reader" || kill "$reader" 2>/dev/null || true; rm -rf "$work"' EXIT

# One message. Without an id in the JSON its key would be the id.
printf '{"id": "%s", "model": "all-MiniLM-L6-v2", "input": "Kafka in, vectors out."}\n' "$id" |
  kcat -P -b "$bootstrap" -t "$prefix.requests" -k "$id" -X message.timeout.ms="${seconds}000"

# The last 100 responses of every partition and all that follow, `KEY VALUE` a line.
kcat -C -q -u -b "$bootstrap" -t "$prefix.responses" -o -100 -f '%k %s\n' >"$work/responses" 2>"$work/log" &
reader=$!

# Ours is the line that begins with the id.
while ! grep "^$id " "$work/responses" >"$work/response"; do
  if [ "$seconds" -le 0 ] || ! kill -0 "$reader" 2>/dev/null; then
    cat "$work/log" >&2
    echo "no response to $id: is a worker running?" >&2
    exit 1
  fi
  seconds=$((seconds - 1))
  sleep 1
done

cut -c 1-160 "$work/response"
# An error response has `error` in place of `data`.
if grep -q '"error":{' "$work/response"; then
  exit 1
fi
