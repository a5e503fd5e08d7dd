#!/bin/sh
# The command of the demonstration's receiver `command`: writes down what it was told, beside itself.
# Lictor gives it a clean environment with LICTOR_* and the event as JSON on standard input.
set -eu

echo "$LICTOR_SERVICE on $LICTOR_NODE: $LICTOR_FROM -> $LICTOR_TO (attempt $LICTOR_ATTEMPT)" >>"${0%/*}/commands.log"
