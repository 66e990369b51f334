#!/bin/sh
# curl alone: one text in (no quotes or backslashes in it: nothing is escaped), the response as it came out.
#
#   sh with_curl.sh http://127.0.0.1:8000/v1 all-MiniLM-L6-v2 "a text"
set -eu

printf '{"model": "%s", "input": "%s"}' "$2" "$3" |
  curl --silent --show-error --fail-with-body --max-time 30 \
    --header 'Content-Type: application/json' --data @- "$1/embeddings"
