"""Running a process in a sandbox, through an OCI runtime (crun, runc)."""
