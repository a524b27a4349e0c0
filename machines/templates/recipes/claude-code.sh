# Claude Code from npm. What runs is a program of its own; Node.js is there for what it works on.

npm install --global --prefix "$TOOLCHAIN" --no-fund --no-audit "@anthropic-ai/claude-code@$CLAUDE_CODE_VERSION"
publish claude
