# Sourced by scripts/unit and scripts/others: pytest in several processes, each of which collects its own tests only.
#   job NAME WORDS...   a command that is to be run; they start in the order of their names
#   run_jobs PROCESSES  runs them; each says at its end how it went, and of what failed all that it wrote is shown
# What was chosen with arguments of pytest may be in one of them alone.
DATA=$(mktemp -d)
trap 'rm -rf "$DATA"' EXIT
NONE=5  # how pytest ends when there was no test to run

job() { printf '%q ' "${@:2}" >"$DATA/$1.job"; }

run_jobs() {
  export DATA NONE
  ls "$DATA"/*.job | xargs -P "$1" -I{} bash -c '
    . {} >{}.output 2>&1; status=$?
    case $status in 0) tail -n 1 {}.output ;; "$NONE") ;; *) cat {}.output ;; esac
    touch "$DATA/ended-$status"
  '
  ls "$DATA" | grep '^ended-' | grep -qv "^ended-[0$NONE]\$" && return 1
  [ -e "$DATA/ended-0" ]
}
