#!/usr/bin/env bash
# Brings a pod from a fresh image to the end of stages 05 and 06, and stops it. Every part may be run again.
#   bash bootstrap.sh start    unpack, then job and guard in the background, unless they run
#   bash bootstrap.sh look     the state, the seconds since anything was written, the log's last lines
# Files beside it: settings.sh, pod_stop.sh, project.tar.gz, params.yaml, run/ (sent); deadline, heartbeat, state,
# job.log, job.pid, guard.pid, venv/, hf/, project/ (made here).
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here"
# what the vendor put into the container's environment is not in that of an SSH command
[ -r "${RP_ENVIRONMENT:-/etc/rp_environment}" ] && . "${RP_ENVIRONMENT:-/etc/rp_environment}"
: "${RUNPOD_POD_ID:=}" "${RUNPOD_API_KEY:=}"
. ./settings.sh
. ./pod_stop.sh

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }
state() { printf '%s\n' "$*" > state.partial && mv state.partial state; say "$*"; }
give_up() { state "failed: $*"; echo "$*" >&2; exit 1; }
runs() { [ -s "$1.pid" ] && grep -qs bootstrap "/proc/$(cat "$1.pid")/cmdline"; }

unpack() { # the project, unless this very one is unpacked
  local want; want="$(sha256sum < project.tar.gz)"
  [ "$(cat project/.unpacked 2>/dev/null)" = "$want" ] && return
  rm -rf project.new && mkdir project.new && tar -xzf project.tar.gz -C project.new || return 1
  printf '%s\n' "$want" > project.new/.unpacked
  rm -rf project && mv project.new project
}

check() { # is this the machine that was paid for?
  if [ "$CHECK_GPU" = 1 ]; then
    command -v nvidia-smi >/dev/null || give_up "no nvidia-smi: this pod has no GPU driver"
    local memory; memory="$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | sort -n | head -1)"
    [ "${memory:-0}" -ge $((MEMORY_GB * 900)) ] || give_up "the GPU has ${memory:-no} MB; $MEMORY_GB GB were planned"
    say "GPU: $(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | head -1)"
  fi
  local free; free="$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')"
  [ "${free:-0}" -ge "$DISK_FREE_GB" ] || give_up "only $free GB are free here; $DISK_FREE_GB are needed"
}

environment() { # Python with torch for CUDA and what the stages need
  export HF_HOME="$here/hf" TOKENIZERS_PARALLELISM=false PYTHONPATH="$here/project" PYTHONUNBUFFERED=1 MPLBACKEND=agg
  [ -n "$PYTHON" ] && return
  PYTHON="$here/venv/bin/python"
  local want; want="$(sha256sum < project/settings.ini)"
  if [ "$(cat venv/.made 2>/dev/null)" != "$want" ]; then
    local base; for base in python3.13 python3.12 python3.11 python3; do command -v "$base" >/dev/null && break; done
    "$base" -m venv venv && venv/bin/pip install --upgrade pip && venv/bin/pip install -e "./project[train]" ipykernel \
      || give_up "the environment could not be made: see job.log"
    printf '%s\n' "$want" > venv/.made
  fi
  if [ "$CHECK_GPU" = 1 ]; then
    "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
      || give_up "torch sees no GPU: the driver is older than its CUDA"
  fi
}

job() {
  case "$(cat state 2>/dev/null)" in done*) return ;; esac
  state preparing
  check
  environment
  state running
  cd "$here/project"
  "$PYTHON" -c 'import sys; from replytune.line import main; sys.exit(main(sys.argv[1:]))' \
    run --run "$here/run" --params "$here/params.yaml" --from 05 --to 06
  local code=$?
  cd "$here"
  [ $code = 0 ] && state done || state "failed: the stages ended with exit code $code"
}

age() { echo $(($(date +%s) - $(stat -c %Y "$1" 2>/dev/null || echo 0))); }

end_job() { # why
  state "$1"
  runs job && kill -- "-$(cat job.pid)" 2>/dev/null
}

guard() { # beats while anything is written; stops the pod when it is time
  while sleep "$BEAT_SECONDS"; do
    [ -n "$(find run job.log venv hf -newer heartbeat -type f -print -quit 2>/dev/null)" ] && touch heartbeat
    if [ "$(date +%s)" -ge "$(cat deadline)" ]; then end_job "failed: the pod's minutes are over"; stop_pod; return; fi
    case "$(cat state)" in
      done* | failed*) [ "$(age state)" -ge "$GRACE_SECONDS" ] && { say "nobody came: stopping"; stop_pod; return; } ;;
      *) if [ "$(age heartbeat)" -ge "$STALE_SECONDS" ]; then end_job "failed: nothing was written for long"; continue; fi
         runs job || { sleep 1; case "$(cat state)" in done* | failed*) ;; *) state "failed: the job is gone" ;; esac; } ;;
    esac
  done
}

background() { # a part of this script that outlives the connection
  runs "$1" && return
  rm -f "$1.pid"
  nohup setsid bash -c "echo \$\$ > $1.pid; exec bash bootstrap.sh $1 >> job.log 2>&1" > /dev/null 2>&1 < /dev/null &
  local turn; for turn in $(seq 50); do [ -s "$1.pid" ] && return; sleep 0.1; done
  give_up "$1 does not start"
}

case "${1:-}" in
  start)
    [ -s deadline ] || echo $(($(date +%s) + BUDGET_SECONDS)) > deadline
    touch heartbeat job.log
    runs job || { unpack || give_up "project.tar.gz cannot be unpacked"; state starting >> job.log; }
    background job; background guard ;;
  job) job ;;
  guard) guard ;;
  look) cat state 2>/dev/null || echo "not started"; age heartbeat; tail -n "${2:-20}" job.log 2>/dev/null ;;
  *) echo "usage: bootstrap.sh start|look" >&2; exit 2 ;;
esac
