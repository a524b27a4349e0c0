# The proof: a command of the recipe, with the PATH that agents have.

exec sh -c "$COMMAND" 2>&1
