"""Runs processes in containers, through an OCI runtime (crun, runc)."""
