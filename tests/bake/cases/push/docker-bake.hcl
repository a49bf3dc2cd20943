target "plain" {}
target "image" { output = ["type=image,name=a", "type=registry"] }
target "docker" { output = ["type=docker"] }
target "local" { output = ["type=local,dest=o"] }
group "default" { targets = ["plain", "image", "docker", "local"] }
