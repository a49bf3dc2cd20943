"""Layers and images on their way between the store and registries or clients."""
