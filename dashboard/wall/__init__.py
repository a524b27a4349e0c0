"""What a screen on a wall shows: blocks of large figures, read again when something changes. Nothing can be done there.

It names no people and, unless its screen is set so, no prompts. Which screens there are is `dashboard.screens`'.
"""

from dashboard.wall.blocks import BLOCKS, Block
from dashboard.wall.page import view

__all__ = ["BLOCKS", "Block", "view"]
