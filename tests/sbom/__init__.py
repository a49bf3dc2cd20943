"""Tests of `lamina.sbom`."""
