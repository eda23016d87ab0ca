#!/usr/bin/env bash
# Keep each message in a file of its own, once. kcat cannot commit after the effect: see positions.
set -euo pipefail
kafka=${KAFKA:-127.0.0.1:9094} topic=tim.callbacks.v1
effects=${EFFECTS:-effects} positions=${POSITIONS:-positions}
fields='(.headers | [range(0; length; 2) as $i | {key: .[$i], value: .[$i + 1]}] | from_entries) as $h
  | [.offset, $h.ce_type, $h.ce_id, (.payload | @base64)] | @tsv'

follow() { # It ends with kcat or with a failing effect, and kcat ends with it.
  local partition=$1 from offset command id body part
  # One process reads a partition. When it dies, another one that waits for the lock continues.
  exec 9>>"$positions/$partition.lock"
  flock 9 & trap "kill $! || true" EXIT
  wait $!
  from=$(cat "$positions/$partition" || true)
  exec 8< <(exec kcat -C -q -u -J -b "$kafka" -t "$topic" -p "$partition" -o "${from:-beginning}" \
    -X isolation.level=read_committed -X auto.offset.reset=earliest 9>&-)
  trap "kill $! || true" EXIT
  while IFS=$'\t' read -r offset command id body; do
    # The name drops repeats. A variable is empty after a restart, and lacks what others have kept.
    if [[ $command == @(C2C|Group).CallbackAfterSendMsg && ! -e $effects/$id ]]; then
      part=$(mktemp "$effects/XXXXXXXX.part")
      base64 -d <<<"$body" >"$part"
      sync "$part"
      mv -n "$part" "$effects/$id"
    fi
    echo $((offset + 1)) >"$positions/$partition.new"
    mv "$positions/$partition.new" "$positions/$partition"
  done < <(exec jq --unbuffered -r "$fields" <&8 9>&-)
}

stop() { trap "" TERM; kill $(jobs -p) 2>/dev/null || true; wait; exit "$1"; }
mkdir -p "$effects" "$positions"
trap 'stop 0' TERM
partitions=$(kcat -L -J -b "$kafka" -t "$topic" | jq '.topics[0].partitions | length')
for ((partition = 0; partition < partitions; partition++)); do follow "$partition" & done
wait -n || true # a partition's process has ended: stop all, so that a supervisor starts this program again
stop 1
