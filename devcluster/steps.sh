# shellcheck shell=bash
# How a step of `make cluster` is run: its name is printed, then its time, and a failure names it. Sourced.

# step NAME COMMAND...: the command is a script of its own, so that its `set -e` holds.
step() {
  local name=$1 began=$EPOCHREALTIME status=0
  shift
  printf '==> %s\n' "$name"
  "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    printf 'make cluster: step "%s" failed (exit code %s) after %s s\n' "$name" "$status" "$(seconds_since "$began")" >&2
    exit "$status"
  fi
  printf '    %s: %s s\n' "$name" "$(seconds_since "$began")"
}

# seconds_since START: with one decimal; START is a value of $EPOCHREALTIME.
seconds_since() {
  awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# wait_until DEADLINE_S WHAT COMMAND...: polls five times a second; fails with WHAT after the deadline.
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what did not become true in time"
    sleep 0.2
  done
}
