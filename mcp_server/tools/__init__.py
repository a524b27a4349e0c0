"""The tools, a module for each noun. Their docstrings are what agents read."""
