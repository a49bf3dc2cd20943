"""Transfers layers and images between the store and registries or clients."""
