"""Software bills of materials: finds the packages in a file system, offline, and lists them.

    parsers  read the databases and files that package managers write
    scanner  finds these files in a tree, and the layer that introduced each package
    spdx, cyclonedx  write documents

Nothing here runs a package manager or resolves anything.
"""
