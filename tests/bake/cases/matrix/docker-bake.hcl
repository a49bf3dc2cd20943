target "app" {
  name    = "app-${item.name}-${replace(version, ".", "_")}"
  matrix  = {
    item    = [{ name = "api", port = 80 }, { name = "web", port = 8080 }]
    version = ["1.0", "2.0"]
  }
  args = { PORT = item.port, VERSION = version }
  tags = [for t in ["latest", version] : "${item.name}:${t}"]
}
target "single" {
  matrix = { only = ["one"] }
  args   = { A = only }
}
group "default" { targets = ["app", "single"] }
