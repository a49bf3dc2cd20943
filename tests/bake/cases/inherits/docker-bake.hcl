target "base" {
  args        = { A = "1", B = "2", C = null }
  labels      = { "org.example.team" = "build" }
  tags        = ["base"]
  platforms   = ["linux/amd64", "linux/arm64"]
  cache-from  = ["type=registry,ref=example.com/cache", "example.com/other"]
  annotations = ["index:a=b"]
  no-cache    = true
  ulimits     = ["nofile=1024:2048"]
  extra-hosts = { a = "1.2.3.4" }
}
target "more" {
  args       = { B = "3", D = "${upper("d")}" }
  cache-from = ["type=local,src=cache", "example.com/other"]
  ulimits    = ["core=0"]
}
target "child" {
  inherits    = ["base", "more"]
  platforms   = []
  annotations = ["index:c=d"]
  no-cache    = false
  extra-hosts = { b = "5.6.7.8" }
}
target "loop" {
  inherits = ["loop", "child"]
}
