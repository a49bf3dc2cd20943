"""The syntax of HCL: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md."""
