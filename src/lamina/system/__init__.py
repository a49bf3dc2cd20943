"""Floor 2: the kernel and the process, made safe: mounts, paths, locks, children, threads."""
