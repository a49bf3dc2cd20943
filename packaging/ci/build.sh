#!/bin/sh
# Build an image in a CI job: install lamina, log in, build, and write outputs and a summary.
#
# The inputs are variables INPUT_… with the names of docker/build-push-action, in upper case and with
# underscores. Those with several values have one in each line. Others:
#
#     LAMINA_SOURCE         the checkout to install from if there is no command lamina
#     GITHUB_OUTPUT         a file that gets digest=, imageid=, metadata= and report=
#     GITHUB_STEP_SUMMARY   a file that gets a summary in Markdown
#     RUNNER_TEMP           a directory for files (default: /tmp)
set -eu

work=$(mktemp -d "${RUNNER_TEMP:-/tmp}/lamina.XXXXXX")
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo --preserve-env"

if ! command -v lamina >/dev/null; then
    venv=${LAMINA_VENV:-/opt/lamina}
    if [ ! -x "$venv/bin/lamina" ]; then
        if ! command -v crun >/dev/null && ! command -v runc >/dev/null; then
            $as_root apt-get update -q
            $as_root apt-get install -y -q --no-install-recommends crun git python3-venv
        fi
        $as_root python3 -m venv "$venv"
        $as_root "$venv/bin/pip" install --quiet --disable-pip-version-check \
            "${LAMINA_SOURCE:?there is no command lamina, and LAMINA_SOURCE is not set}"
    fi
    PATH=$venv/bin:$PATH
fi
command=$(command -v lamina)
lamina() { $as_root "$command" "$@"; }

if [ -n "${INPUT_PASSWORD:-}" ]; then
    printf %s "$INPUT_PASSWORD" |
        lamina login --username "${INPUT_USERNAME:-}" --password-stdin ${INPUT_REGISTRY:+"$INPUT_REGISTRY"}
fi

# With a token, the entries of the Actions cache are listed. That saves requests, which are limited.
[ -z "${INPUT_GITHUB_TOKEN:-}" ] || export GITHUB_TOKEN="$INPUT_GITHUB_TOKEN"

# Arguments cannot be kept in a list of POSIX sh except in the positional parameters.
each() { # each FLAG LINES: append "FLAG=LINE" for each line that is not empty
    flag=$1 lines=$2
    while IFS= read -r line; do
        line=$(printf %s "$line" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
        [ -z "$line" ] || printf '%s=%s\n' "$flag" "$line"
    done <<END
$lines
END
}
{
    each --tag "${INPUT_TAGS:-}"
    each --build-arg "${INPUT_BUILD_ARGS:-}"
    each --build-context "${INPUT_BUILD_CONTEXTS:-}"
    each --label "${INPUT_LABELS:-}"
    each --annotation "${INPUT_ANNOTATIONS:-}"
    each --platform "${INPUT_PLATFORMS:-}"
    each --secret "${INPUT_SECRET_FILES:+$(printf '%s\n' "$INPUT_SECRET_FILES" | sed 's/^\([^=]*\)=/id=\1,src=/')}"
    each --ssh "${INPUT_SSH:-}"
    each --output "${INPUT_OUTPUTS:-}"
    each --allow "${INPUT_ALLOW:-}"
    each --add-host "${INPUT_ADD_HOSTS:-}"
    each --attest "${INPUT_ATTESTS:-}"
    each --file "${INPUT_FILE:-}"
    each --target "${INPUT_TARGET:-}"
    each --network "${INPUT_NETWORK:-}"
    each --shm-size "${INPUT_SHM_SIZE:-}"
    each --provenance "${INPUT_PROVENANCE:-}"
    each --sbom "${INPUT_SBOM:-}"
    each --cache-from "${INPUT_CACHE_FROM:-}"
    each --cache-to "${INPUT_CACHE_TO:-}"
} >"$work/arguments"
set -- --metadata-file "$work/metadata.json" --iidfile "$work/imageid"
for pair in "push ${INPUT_PUSH:-}" "load ${INPUT_LOAD:-}" "pull ${INPUT_PULL:-}" \
    "no-cache ${INPUT_NO_CACHE:-}"; do
    [ "${pair#* }" != true ] || set -- "$@" "--${pair%% *}"
done
while IFS= read -r argument; do
    set -- "$@" "$argument"
done <"$work/arguments"
rm "$work/arguments"

# Secrets are passed in variables, so that they are in no command line.
number=0
while IFS= read -r line; do
    [ -n "$line" ] || continue
    number=$((number + 1))
    export "LAMINA_SECRET_$number=${line#*=}"
    set -- "$@" --secret "id=${line%%=*},env=LAMINA_SECRET_$number"
done <<END
${INPUT_SECRETS:-}
END

status=0
lamina build --progress=plain "$@" "${INPUT_CONTEXT:-.}" || status=$?

if [ -n "${GITHUB_OUTPUT:-}" ] && [ -s "$work/metadata.json" ]; then
    digest=$(sed -n 's/.*"containerimage.digest": *"\([^"]*\)".*/\1/p' "$work/metadata.json" | head -n 1)
    {
        echo "digest=$digest"
        echo "imageid=$(cat "$work/imageid" 2>/dev/null || true)"
        echo "metadata<<LAMINA_END"
        cat "$work/metadata.json"
        echo
        echo "LAMINA_END"
    } >>"$GITHUB_OUTPUT"
fi
if lamina history export --output "$work/report.dockerbuild" 2>"$work/error"; then
    [ -z "${GITHUB_OUTPUT:-}" ] || echo "report=$work/report.dockerbuild" >>"$GITHUB_OUTPUT"
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    {
        [ "$status" = 0 ] && echo "### Image built" || echo "### Build failed"
        echo
        echo '```text'
        lamina history inspect 2>&1 || true
        echo '```'
        echo
        echo "<details><summary>Steps that missed the cache, and why</summary>"
        echo
        echo '```text'
        lamina explain 2>&1 || true
        echo '```'
        echo
        echo "</details>"
    } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
