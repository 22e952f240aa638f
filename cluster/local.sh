#!/usr/bin/env bash
# Starts a Ray cluster of several logical nodes on this machine, and stops it on Ctrl-C.
# Usage: cluster/local.sh [NODES] [CPUS] [GPUS]       2 nodes of 2 CPUs and no GPU by default; CPUS and GPUS are per node
# Resources are logical: all nodes share this machine's memory. PORT and DASHBOARD_PORT choose other ports, RAY another ray.
set -euo pipefail
cd "$(dirname "$0")/.."
nodes=${1:-2} cpus=${2:-2} gpus=${3:-0}
port=${PORT:-6379} dashboard_port=${DASHBOARD_PORT:-8265}
venv=${RAY_FT_VENV:-.venv}
ray=${RAY:-$([[ -x $venv/bin/ray ]] && echo "$venv/bin/ray" || command -v ray || true)}
[[ -n $ray ]] || { echo "No ray here; run scripts/environment first." >&2; exit 1; }

export RAY_AUTH_MODE=${RAY_AUTH_MODE:-disabled}         # for trying things out; set to token where others share the machine
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0          # there is no other node to drain to
export RAY_USAGE_STATS_ENABLED=${RAY_USAGE_STATS_ENABLED:-0}
unset RAY_ADDRESS
folder=$(mktemp -d /tmp/ray_ft.XXXXXX)                  # short: socket paths have a limit of 107 bytes
pids=()

stop() {
  trap - EXIT INT TERM
  ((${#pids[@]})) && kill -TERM "${pids[@]}" 2>/dev/null
  wait
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 0' INT TERM

# Agents of nodes on one machine would all take port 52365, and jobs would find none of them.
free_port() {
  "$(dirname "$ray")/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_node() {  # number, further options
  local number=$1 log=$folder/node-$1.log
  shift
  : >"$log"
  if ((gpus > 0)); then
    export CUDA_VISIBLE_DEVICES=$(seq -s, $((number * gpus)) $((number * gpus + gpus - 1)))
  fi
  # A folder per node: nodes that share one delete each other's copies of a job's files.
  "$ray" start --block --temp-dir="$folder/$number" --node-ip-address=127.0.0.1 --labels="node=$number" \
    --num-cpus="$cpus" --num-gpus="$gpus" --min-worker-port=0 --max-worker-port=0 \
    --dashboard-agent-listen-port="$(free_port)" --object-store-memory=$((200 * 1024 * 1024)) "$@" >"$log" 2>&1 &
  pids+=($!)
  until grep -q 'runtime started' "$log"; do
    kill -0 "${pids[-1]}" 2>/dev/null || { echo "Node $number did not start:" >&2; tail -n 15 "$log" >&2; exit 1; }
    sleep 0.2
  done
}

start_node 0 --head --port="$port" --dashboard-port="$dashboard_port" --ray-client-server-port="$(free_port)"
for ((number = 1; number < nodes; number++)); do
  start_node "$number" --address="127.0.0.1:$port"
done

echo "Ready: $nodes nodes of $cpus CPUs and $gpus GPUs. Ctrl-C stops them."
echo "  ray-ft submit CONFIG --address http://127.0.0.1:$dashboard_port"
echo "  ray-ft run CONFIG --address 127.0.0.1:$port"
wait "${pids[0]}"
