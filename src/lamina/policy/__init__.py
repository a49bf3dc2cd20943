"""Source policies: rules and clients that allow, deny or convert the sources of a build."""
