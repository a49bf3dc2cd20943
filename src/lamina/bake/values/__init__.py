"""Values of HCL expressions, with the type system of HCL (go-cty)."""
