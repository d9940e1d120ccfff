#!/bin/sh
# Install what the lock file in this folder asks for, development tools included: builds need them.
# Run by the user that builds the app:  sh -s npm | pnpm@VERSION | yarn@VERSION | @yarnpkg/cli-dist@VERSION
set -eu
tool=$1

# A package manager that is not npm is fetched by npm, in the version the source asks for. CI=1: ask nothing, change no lock file.
export CI=1 npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
case "$tool" in
npm) npm ci --include=dev ;;
pnpm@*) npx --yes "$tool" install --frozen-lockfile --prod=false ;;
yarn@1*) npx --yes "$tool" install --frozen-lockfile --production=false --non-interactive ;;
@yarnpkg/cli-dist@*) npx --yes --package "$tool" -- yarn install --immutable ;;
*)
    echo "No way to install with $tool." >&2
    exit 1
    ;;
esac
