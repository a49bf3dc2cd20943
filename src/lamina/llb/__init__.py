"""LLB, the graph format between frontends and the solver (BuildKit `solver/pb`)."""
