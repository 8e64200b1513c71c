# shellcheck shell=bash
# What the entry points share. Sourced, never run.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export CARGO_TERM_PROGRESS_WHEN="${CARGO_TERM_PROGRESS_WHEN:-auto}"

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# Prints the comment block at the head of the calling script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# --- what a machine must have -------------------------------------------------------------------------------------

# libclang, and the compiler's own headers beside it: bindgen needs both to read RocksDB's C header.
has_libclang() {
  if [[ -n "${LIBCLANG_PATH:-}" ]]; then return 0; fi
  local library header
  library=$(compgen -G '/usr/lib/llvm-*/lib/libclang[.-][s0-9]*' || compgen -G '/usr/lib*/libclang[.-][s0-9]*' ||
    compgen -G '/usr/lib/*-linux-gnu*/libclang[.-][s0-9]*' || true)
  header=$(compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' || compgen -G '/usr/lib*/clang/*/include/stddef.h' || true)
  [[ -n "$library" && -n "$header" ]]
}

# Makes sure of a C and C++ compiler, libclang and Python; installs them with apt-get as root, otherwise says how.
need_packages() {
  local packages=() reasons=()
  if ! command -v cc >/dev/null || ! command -v c++ >/dev/null || ! command -v make >/dev/null; then
    packages+=(build-essential)
    reasons+=("build-essential: compiles RocksDB (the store) and the C parts of the cryptography")
  fi
  if ! has_libclang; then
    packages+=(libclang-dev)
    reasons+=("libclang-dev: generates the Rust side of RocksDB's C interface during the build")
  fi
  if ! command -v python3 >/dev/null; then
    packages+=(python3)
    reasons+=("python3: recomputes the test vectors from the written rules")
  fi
  if ((${#packages[@]} == 0)); then return 0; fi

  say "This machine lacks:"
  printf '  %s\n' "${reasons[@]}" >&2
  command -v apt-get >/dev/null || die "no apt-get here; install the above with your package manager and start again"
  if ((EUID != 0)); then
    say "Install it with:"
    say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
    exit 1
  fi
  say "Installing with apt-get: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q </dev/null >&2 || die "apt-get update failed; see above"
  apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null >&2 || die "apt-get install failed; see above"
}

# Makes sure of cargo. The toolchain itself is named in rust-toolchain.toml, and rustup fetches it on first use.
need_rust() {
  if ! command -v cargo >/dev/null && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  command -v cargo >/dev/null || die "no cargo; install Rust first: https://rustup.rs"
  if ! (cd "$root" && cargo --version) >&2; then
    die "cargo does not start; with rustup, 'rustup toolchain install' in $root fetches the toolchain that rust-toolchain.toml names"
  fi
}

# Where cargo puts what it builds, whatever the environment says.
target_dir() {
  (cd "$root" && cargo metadata --locked --no-deps --format-version 1) | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# --- the build for this machine -----------------------------------------------------------------------------------

# Whether each of the named features stands in /proc/cpuinfo.
has_cpu() {
  local feature
  for feature in "$@"; do
    grep -qsw -m1 -- "$feature" /proc/cpuinfo || return 1
  done
}

# choose_cpu [DEFAULT]: which build SMT_CPU asks for (DEFAULT if it is unset), and cargo's environment for it. Builds other than
# generic get a folder of their own below the target folder, since other flags mean that everything is compiled again.
#   generic  starts on every x86-64; batches of signatures use AVX-512 IFMA where the processor has it
#   ifma     the same, and single signatures use it too (1.7 times as fast); starts everywhere as well
#   native   compiled for this very processor; elsewhere the program says what is missing and exits
#   auto     ifma where this processor has AVX-512 IFMA, generic otherwise
choose_cpu() {
  local cpu=${SMT_CPU:-${1:-generic}} flags
  if [[ "$cpu" == auto ]]; then
    if has_cpu avx512ifma avx512vl; then cpu=ifma; else cpu=generic; fi
  fi
  case "$cpu" in
    generic) return 0 ;;
    ifma)
      [[ "$(uname -m)" == x86_64 ]] || die "SMT_CPU=ifma: this is no x86-64 machine; take SMT_CPU=generic"
      flags='--cfg curve25519_dalek_backend="avx512"'
      ;;
    native) flags='-C target-cpu=native' ;;
    *) die "SMT_CPU=$cpu: generic, ifma, native or auto" ;;
  esac
  [[ -z "${CARGO_ENCODED_RUSTFLAGS:-}" ]] || die "SMT_CPU=$cpu and CARGO_ENCODED_RUSTFLAGS exclude each other"
  CARGO_TARGET_DIR=$(target_dir)/$cpu
  export CARGO_TARGET_DIR RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$flags"
  say "Build for: $cpu (SMT_CPU), in $CARGO_TARGET_DIR"
}

# --- stages -------------------------------------------------------------------------------------------------------

stage_names=()
stage_seconds=()
stage_results=()

# stage NAME COMMAND…: runs it, keeps its time. The first stage that fails ends the script.
stage() {
  local name=$1 start=$SECONDS status=0
  shift
  say ""
  say "== $name"
  # In a condition 'set -e' would be off inside the command, so it runs in a shell of its own.
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
  stage_names+=("$name")
  stage_seconds+=($((SECONDS - start)))
  if ((status != 0)); then
    stage_results+=("FAILED ($status)")
    finish
    die "stage '$name' failed; everything after it was not run"
  fi
  stage_results+=("ok")
}

# skip NAME WHY: a stage this machine cannot run. It shows in the table, so that nothing passes in silence.
skip() {
  say ""
  say "== $1: SKIPPED, $2"
  stage_names+=("$1")
  stage_seconds+=(0)
  stage_results+=("SKIPPED: $2")
}

# The table of times.
finish() {
  local i total=0
  say ""
  say "$(printf '%-22s %8s   %s' stage time result)"
  for i in "${!stage_names[@]}"; do
    total=$((total + stage_seconds[i]))
    say "$(printf '%-22s %4dm%02ds   %s' "${stage_names[i]}" $((stage_seconds[i] / 60)) $((stage_seconds[i] % 60)) "${stage_results[i]}")"
  done
  say "$(printf '%-22s %4dm%02ds' total $((total / 60)) $((total % 60)))"
}

# The vectors, computed a second time from the written rules.
check_vectors() {
  cd "$root"
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/blake3.py
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/vectors_trie.py --check
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/vectors_types.py --check
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/vectors_rpc.py node/RPC.md
  PYTHONDONTWRITEBYTECODE=1 python3 scripts/circuit_constants.py --check
}
