"""Build graphs in Python: immutable states over LLB.

A `State` describes a file system and the image configuration that goes with it. Each method returns
a new state. Nothing runs before a builder or a frontend evaluates the state.
"""
