target "app" {
  tags     = ["hcl"]
  args     = { D = "4" }
  contexts = { base = "target:base" }
}
group "default" { targets = ["app"] }
