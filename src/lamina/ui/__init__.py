"""The web UI: a JSON API on the records of builds, the page that uses it, and static reports.

`documents` has the types of the API, `routes` its requests, `security` the checks of each request,
`server` runs it. The page is built from `ui/` at the root of the project into `static/`.
"""
