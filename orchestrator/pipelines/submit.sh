# Submits the jobs of a production; sourced by run_slurm_*.sh; written by desi_pipe.
#   submit JOB NEEDED_JOB...   submits JOB.slurm to start when the needed jobs have ended
#
# When they have ended, well or not (afterany): a job's tasks look for their inputs themselves, so that a failed task
# holds up what needs its output and nothing else, and no job is left behind one that was cancelled. Nothing is
# submitted twice: a job that is queued or runs already is taken as it is.

declare -A job # what was submitted: its id, or "none" if it could not be
status=0
pause=${SPECMILL_SBATCH_PAUSE:-5} # seconds before sbatch is tried again

# the jobs of this production that Slurm knows now, a line "ID|NAME"; false if it does not say
look() {
    local answer
    answer=$(timeout 60 squeue --noheader --user="$(id -un)" --format='%F|%j|%Z') || return 1
    queue=$(awk -F'|' -v folder="$production" '$1 ~ /^[0-9]+$/ && substr($0, length($1 $2) + 3) == folder { print $1 "|" $2 }' <<<"$answer")
}

queued() { # queued JOB: its id, if it is queued or runs
    awk -F'|' -v name="$1" '$2 == name { id = $1 } END { if (id) print id; else exit 1 }' <<<"$queue"
}

# of the ids given, those that Slurm still knows; it forgets jobs some time after their end
remembered() {
    local id
    for id; do
        if awk -F'|' -v id="$id" '$1 == id { found = 1 } END { exit !found }' <<<"$queue"; then printf ':%s' "$id"; fi
    done
}

submit() {
    local name=$1 needs=() after='' need answer id try
    shift
    if id=$(queued "$name"); then
        job[$name]=$id
        echo "$id $name (queued already)"
        return
    fi
    for need; do
        if [ "${job[$need]:-}" = none ]; then
            job[$name]=none
            echo "not submitted: $name, which needs $need" >&2
            return
        fi
        if [ -n "${job[$need]:-}" ]; then needs+=("${job[$need]}"); fi
    done
    after=$(printf ':%s' "${needs[@]}")
    if [ ${#needs[@]} -eq 0 ]; then after=''; fi
    for try in 1 2 3; do
        answer=$(timeout 60 sbatch --parsable ${after:+--dependency=afterany$after} "$scripts/$name.slurm")
        id=$(sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' <<<"$answer" | tail -1)
        if [ -n "$id" ]; then break; fi
        echo "sbatch did not take $name (try $try of 3): ${answer:-no answer}" >&2
        sleep "$pause"
        # it may have taken it without saying so, or have forgotten a job that this one was to follow
        if look; then
            if id=$(queued "$name"); then break; fi
            after=$(remembered "${needs[@]}")
        fi
    done
    job[$name]=${id:-none}
    if [ -n "$id" ]; then
        echo "$id $name"
    else
        echo "not submitted: $name" >&2
        status=4
    fi
}

queue=
look || echo "squeue does not answer: jobs that are queued already cannot be seen" >&2
