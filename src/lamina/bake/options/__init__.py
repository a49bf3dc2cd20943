"""Options of targets that have a short form, a string, and a form as an object.

They are immutable. `text` writes the form of `lamina build`, `document` the JSON of `--print`, and
`to_value` the value in expressions (buildx's `util/buildflags`).
"""
