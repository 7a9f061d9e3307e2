# shellcheck shell=bash
# Is a process of the cluster alive, and how is it started and stopped? By pid file; pids are reused, so the name is
# compared too, and a zombie counts as dead. Sourced after settings.sh.

is_alive() { # is_alive NAME
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${1:0:15}" ] && ! grep -q '^State:.*Z' "/proc/$pid/status"
}

start() { # start NAME ARGS...: the binary has that name
  local name=$1
  is_alive "$name" && return
  # A session of its own: an interrupt at the terminal of `make cluster` does not reach it.
  setsid nohup "$@" >>"$LOGS/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
}

stop() { # stop NAME: asks, waits 20 s, then kills
  local pid tries=200
  is_alive "$1" || { rm -f "$RUN/$1.pid"; return 0; }
  pid=$(cat "$RUN/$1.pid")
  kill "$pid"
  while is_alive "$1" && [ $((tries--)) -gt 0 ]; do sleep 0.1; done
  ! is_alive "$1" || kill -9 "$pid"
  rm -f "$RUN/$1.pid"
}
