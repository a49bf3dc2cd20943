"""Advice on a Dockerfile and its context, each item as an edit of the text.

`lamina.advise.advisor.advise` is the entry. Nothing here builds or resolves anything.
"""
