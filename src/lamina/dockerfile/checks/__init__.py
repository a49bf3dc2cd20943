"""Checks: what a Dockerfile may say but should not, by BuildKit's names."""
