"""Options of targets that have a short form, a string, and a form as an object.

They are immutable. `text` writes the form that `lamina build` takes, `document` the JSON of
`--print`, and `to_value` what expressions get (buildx's `util/buildflags`).
"""
