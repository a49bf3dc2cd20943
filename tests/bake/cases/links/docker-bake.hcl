target "default" {
  contexts = { base = "target:base" }
}
target "base" {
  contexts = { tools = "target:tools" }
  entitlements = ["security.insecure"]
  output = ["type=image"]
}
target "tools" { network = "host" }
