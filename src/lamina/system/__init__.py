"""Safe access to the kernel and the process: mounts, paths, locks, child processes, threads."""
