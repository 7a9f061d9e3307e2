# shellcheck shell=bash
# How a step of CI is run, limited, timed and counted. Sourced; wants $logs, a folder, and $BUDGET_S, of all steps.
passed=0 failed=0 times=()

left_s() { echo $((BUDGET_S - SECONDS)); }

step() { # step NAME MINUTES COMMAND...: run under its own time limit, say how long it took
  local name=$1 limit_s=$(($2 * 60)) start=$SECONDS code
  shift 2
  if [ "$(left_s)" -le 0 ]; then
    echo "== $name: not started, all $((BUDGET_S / 60)) minutes are spent"
    return 124
  fi
  [ "$limit_s" -le "$(left_s)" ] || limit_s=$(left_s)
  echo "== $name (limit $((limit_s / 60)) min)"
  timeout --kill-after=60 "$limit_s" "$@"
  code=$?
  [ "$code" -ne 124 ] || echo "== $name: stopped at its limit of $limit_s s"
  echo "== $name: exit $code after $((SECONDS - start)) s"
  times+=("$name $((SECONDS - start)) s")
  return "$code"
}

one() { # a step that counts as one test
  if step "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); return 1; fi
}

tests() { # a step that runs pytest and counts as many; without a single test that passed it has failed
  local log=$logs/tests code good bad
  step "$@" > >(tee "$log") 2>&1
  code=$?
  wait $! # for tee
  count() { grep -aoE "[0-9]+ $1" "$log" | tail -1 | grep -oE '[0-9]+' || echo 0; }
  good=$(count passed) bad=$(($(count failed) + $(count "errors?")))
  if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$code" -eq 0 ] && [ "$good" -eq 0 ]; then
    echo "== $1: not one test passed; what was skipped says why, above"
    bad=$((bad + 1)) code=1
  fi
  passed=$((passed + good)) failed=$((failed + bad))
  return "$code"
}
