variable "V" { default = "one" }
target "app" { 
  args = { V = V, A = "hcl" } 
  tags = ["hcl"]
}
group "default" { targets = ["app"] }
