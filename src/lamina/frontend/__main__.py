"""`python -m lamina.frontend`: the entrypoint of frontend images."""

from lamina.frontend.main import main

main()
