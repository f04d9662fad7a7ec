"""Limiters whose table an engine on another host keeps.

`construct.pyx` makes one where a limiter's class is called with such a table: a subclass of that class, whose verbs
(`verbs.py`) put requests into numbers for the engine (`request.pyx`) and read its answers with the functions that
decide locally (`answer.pyx`).
"""
