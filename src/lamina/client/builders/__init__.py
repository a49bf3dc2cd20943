"""Named builders: their files, which buildx shares, their nodes and the nodes' state."""
