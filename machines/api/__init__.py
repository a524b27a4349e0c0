"""Machines over REST, a module for each noun."""
