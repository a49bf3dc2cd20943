"""Bake files: definitions of targets in HCL, JSON and Compose, as `docker buildx bake` reads them.

    hcl        the syntax: HCL and its JSON form become one syntax tree, with locations
    values     values of HCL expressions: types, numbers, conversions
    evaluate   evaluates expressions
    functions  the standard library
    options    the short and the object forms of target options (cache, secret, output, …)

The modules here read the definitions, evaluate variables, functions and targets, merge them, and
resolve the requested targets. Nothing here builds: `lamina.cli` makes build requests of targets.
"""
