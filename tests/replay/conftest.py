"""The fixtures of this folder; what they are made of is in replay_tools.py."""

from replay_tools import *  # noqa: F403
