#!/bin/sh
# Check one commit of the repository out in this folder, which is empty, with its submodules.
# Run by the build's user:  sh -s REPOSITORY COMMIT
set -eu
git init --quiet .
git remote add origin "$1"
# All branches and tags: builds name their version by the last tag.
git fetch --quiet --tags origin '+refs/heads/*:refs/remotes/origin/*'
# A commit that no branch or tag has any more is asked for by its name. Not every server gives it.
git cat-file -e "$2^{commit}" 2>/dev/null || git fetch --quiet origin "$2"
git checkout --quiet --detach "$2"
git submodule update --quiet --init --recursive
