target "app" {
  args   = { A = "1" }
  tags   = ["app:1"]
  output = ["type=image"]
  secret = ["id=token,src=/dev/null"]
}
target "api" { inherits = ["app"] }
target "web" { tags = ["web"] }
group "default" { targets = ["app", "api", "web"] }
