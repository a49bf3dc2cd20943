target "default" {
  annotations       = ["manifest:title=%{if true}yes%{endif}"]
  attest            = ["type=provenance,mode=max", { type = "sbom", generator = "example.com/scan" }, { type = "provenance", disabled = true }]
  args              = { NUMBER = 1.50, TRUTH = true, TEXT = "a$${b}", NOTHING = null }
  cache-from        = [{ type = "gha", scope = "a" }, "user/app:cache"]
  cache-to          = ["type=local,dest=out/cache", ""]
  call              = "check"
  contexts          = { src = "../source", base = "docker-image://alpine:3", none = "" }
  context           = "https://example.com/repo.git#main:sub"
  dockerfile        = "sub/Dockerfile"
  dockerfile-inline = "FROM scratch\nCOPY $${x} /\n"
  entitlements      = ["network.host", "security.insecure", "network.host"]
  extra-hosts       = { "a.test" = "10.0.0.1" }
  labels            = { a = "", b = null }
  network           = "host"
  no-cache-filter   = ["one", "two", "one"]
  output            = ["type=image,push=true", { type = "local", dest = "out" }, "folder"]
  platforms         = ["linux/amd64", "linux/amd64", "linux/arm/v7"]
  pull              = true
  secret            = ["type=env,id=TOKEN,src=HOME", { id = "key", src = "/dev/null" }, "id=key,src=/dev/zero"]
  shm-size          = "128m"
  tags              = ["a:b"]
  target            = "final"
  ulimits           = ["nofile=1024:1024"]
  resources         = { memory = "1g", cpu-shares = 512 }
  description       = "Everything"
}
