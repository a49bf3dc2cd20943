"""Tests of `lamina.dap`."""
